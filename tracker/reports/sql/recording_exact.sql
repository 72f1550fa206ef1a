-- What are the exact connection-time percentiles by environment and step?
\ir defaults.sql
SELECT CASE WHEN 'step' = ANY (CAST(:by AS text[])) THEN (CAST(:edge_steps AS integer[]))[width_bucket(created_at, CAST(:edges AS timestamptz[]))] END AS step,
       environment AS environment,
       percentile_cont(ARRAY[0.5, 0.95, 0.99]) WITHIN GROUP (ORDER BY connection_ms::float8) AS percentiles
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
