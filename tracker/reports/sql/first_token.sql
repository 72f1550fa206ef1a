-- What are the histograms of the time to the first token by the columns in `by` (and by step if it contains `step`)?
-- counts[n] calls took from 2^(slots[n]/8) to 2^((slots[n]+1)/8) ms. Calls without the time are not counted.
\ir defaults.sql
SELECT step, model, sum(calls)::bigint AS calls, max(max_ms) AS max_ms,
       array_agg(slot ORDER BY slot) AS slots, array_agg(calls ORDER BY slot) AS counts
FROM (
    SELECT CASE WHEN 'step' = ANY (CAST(:by AS text[])) THEN :call_step END AS step,
           CASE WHEN 'model' = ANY (CAST(:by AS text[])) THEN model END AS model,
           :first_token_bin AS slot, count(*)::bigint AS calls, max(time_to_first_token_ms::float8) AS max_ms
    FROM token_usage AS calls
    WHERE created_at >= :start AND created_at < :end
      AND :matches_filters
      AND time_to_first_token_ms IS NOT NULL
    GROUP BY 1, 2, 3
) AS slots
GROUP BY step, model
ORDER BY step, calls DESC;
