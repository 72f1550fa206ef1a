-- How did the range's figures develop, bucket by bucket of the reader's time zone?
\ir defaults.sql
SELECT date_trunc(:bucket, created_at, :timezone) AS bucket,
       count(*) AS calls,
       count(*) FILTER (WHERE success IS FALSE) AS failed_calls,
       count(DISTINCT user_id) AS users,
       sum(total_tokens)::bigint AS total_tokens,
       sum(cost)::float8 AS cost_usd
FROM token_usage AS calls
WHERE created_at >= :start AND created_at < :end
  AND (:include_tests OR is_test IS NOT TRUE)
  AND (:model IS NULL OR model = :model)
  AND (:provider IS NULL OR provider = :provider)
  AND (:operation IS NULL OR operation = :operation)
  AND (:user IS NULL OR user_id = :user)
  AND (:environment IS NULL OR environment = :environment)
GROUP BY 1
ORDER BY 1;
