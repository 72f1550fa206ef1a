-- What are the exact percentiles of the time to the first token by model or step?
\ir defaults.sql
SELECT CASE WHEN 'step' = ANY (CAST(:by AS text[])) THEN :call_step END AS step,
       CASE WHEN 'model' = ANY (CAST(:by AS text[])) THEN model END AS model,
       percentile_cont(ARRAY[0.5, 0.95, 0.99]) WITHIN GROUP (ORDER BY time_to_first_token_ms::float8) AS percentiles
FROM token_usage AS calls
WHERE created_at >= :start AND created_at < :end
  AND :matches_filters
  AND time_to_first_token_ms IS NOT NULL
GROUP BY 1, 2
ORDER BY 1, 2;
