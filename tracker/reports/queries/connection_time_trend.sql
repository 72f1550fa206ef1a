-- How long did it take to get a connection, over time, in each environment?
\ir defaults.sql
SELECT date_trunc(:bucket, created_at, :timezone) AS bucket,
       coalesce(environment, 'unknown') AS environment,
       count(*) AS records,
       coalesce(sum(retry_count), 0)::bigint AS retries,
       percentile_cont(0.5) WITHIN GROUP (ORDER BY connection_ms::float8) AS connection_p50_ms,
       percentile_cont(0.95) WITHIN GROUP (ORDER BY connection_ms::float8) AS connection_p95_ms
FROM token_usage AS calls
WHERE created_at >= :start AND created_at < :end
  AND (:include_tests OR is_test IS NOT TRUE)
  AND (:model IS NULL OR model = :model)
  AND (:provider IS NULL OR provider = :provider)
  AND (:operation IS NULL OR operation = :operation)
  AND (:user IS NULL OR user_id = :user)
  AND (:environment IS NULL OR environment = :environment)
  AND delivery IS NOT NULL
GROUP BY 1, 2
ORDER BY 1, 2;
