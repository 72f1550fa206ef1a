-- What are the exact latency percentiles by model or step?
\ir defaults.sql
SELECT CASE WHEN 'step' = ANY (CAST(:by AS text[])) THEN :call_step END AS step,
       CASE WHEN 'model' = ANY (CAST(:by AS text[])) THEN model END AS model,
       percentile_cont(ARRAY[0.5, 0.95, 0.99]) WITHIN GROUP (ORDER BY processing_time::float8) AS percentiles
FROM token_usage AS calls
WHERE created_at >= :start AND created_at < :end
  AND :matches_filters
  AND processing_time IS NOT NULL
GROUP BY 1, 2
ORDER BY 1, 2;
