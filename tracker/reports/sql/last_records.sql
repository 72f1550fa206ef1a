-- Which records are the newest?
\ir defaults.sql
SELECT id, created_at, model, operation, user_id, input_tokens, output_tokens, CASE WHEN abs(cost::numeric) <= 1e9 THEN cost::float8 END AS cost_usd,
       processing_time, success IS NOT FALSE AS success, error_message, environment, delivery,
       is_test IS TRUE AS is_test, (metadata ->> 'sample' = 'true') IS TRUE AS is_sample
FROM token_usage AS calls
WHERE created_at >= :start AND created_at < :end
  AND (:include_tests OR is_test IS NOT TRUE)
  AND (:model IS NULL OR model = :model)
  AND (:provider IS NULL OR provider = :provider)
  AND (:operation IS NULL OR operation = :operation)
  AND (:user IS NULL OR user_id = :user)
  AND (:environment IS NULL OR environment = :environment)
ORDER BY created_at DESC
LIMIT :count;
