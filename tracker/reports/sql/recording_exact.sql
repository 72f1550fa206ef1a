-- What are the exact connection-time percentiles by environment and step?
\ir defaults.sql
SELECT CASE WHEN 'step' = ANY (CAST(:by AS text[])) THEN :call_step END AS step,
       environment AS environment,
       percentile_cont(ARRAY[0.5, 0.95, 0.99]) WITHIN GROUP (ORDER BY connection_ms::float8) AS percentiles
FROM token_usage AS calls
WHERE created_at >= :start AND created_at < :end
  AND :matches_filters
  AND delivery IS NOT NULL
GROUP BY 1, 2
ORDER BY 1, 2;
