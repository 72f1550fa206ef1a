-- Does recording work, and what does it cost the caller, in each environment?
-- Imported and sample rows carry no delivery: nothing was recorded there and then, so they are not counted.
\ir defaults.sql
SELECT coalesce(environment, 'unknown') AS environment,
       count(*) AS records,
       count(*) FILTER (WHERE retry_count > 0) AS retried_records,
       coalesce(sum(retry_count), 0)::bigint AS retries,
       count(*) FILTER (WHERE recorded_at - created_at > make_interval(secs => :late_s)) AS late_records,
       extract(epoch FROM max(recorded_at - created_at))::float8 AS worst_lag_s,
       percentile_cont(0.5) WITHIN GROUP (ORDER BY connection_ms::float8) AS connection_p50_ms,
       percentile_cont(0.95) WITHIN GROUP (ORDER BY connection_ms::float8) AS connection_p95_ms,
       percentile_cont(0.99) WITHIN GROUP (ORDER BY connection_ms::float8) AS connection_p99_ms,
       max(connection_ms)::float8 AS connection_max_ms
FROM token_usage AS calls
WHERE created_at >= :start AND created_at < :end
  AND (:include_tests OR is_test IS NOT TRUE)
  AND (:model IS NULL OR model = :model)
  AND (:provider IS NULL OR provider = :provider)
  AND (:operation IS NULL OR operation = :operation)
  AND (:user IS NULL OR user_id = :user)
  AND (:environment IS NULL OR environment = :environment)
  AND delivery IS NOT NULL
GROUP BY 1
ORDER BY records DESC, environment;
