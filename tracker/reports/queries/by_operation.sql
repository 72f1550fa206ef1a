-- What was it used for, and what does one call of each kind cost?
\ir defaults.sql
SELECT coalesce(operation, 'unknown') AS operation,
       count(*) AS calls,
       sum(total_tokens)::bigint AS total_tokens,
       sum(cost)::float8 AS cost_usd,
       avg(cost)::float8 AS cost_per_call_usd,
       count(*) FILTER (WHERE cost IS NULL) AS unpriced_calls,
       count(*) FILTER (WHERE success IS FALSE) AS failed_calls
FROM token_usage AS calls
WHERE created_at >= :start AND created_at < :end
  AND (:include_tests OR is_test IS NOT TRUE)
  AND (:model IS NULL OR model = :model)
  AND (:provider IS NULL OR provider = :provider)
  AND (:operation IS NULL OR operation = :operation)
  AND (:user IS NULL OR user_id = :user)
  AND (:environment IS NULL OR environment = :environment)
GROUP BY 1
ORDER BY total_tokens DESC NULLS LAST, operation
LIMIT :count;
