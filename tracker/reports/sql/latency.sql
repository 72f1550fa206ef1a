-- What are the latency histograms by the columns in `by` (and by step if it contains `step`)?
-- counts[n] calls took from 2^(slots[n]/8) to 2^((slots[n]+1)/8) ms.
\ir defaults.sql
WITH used (step, provider, model, calls, max_ms, slots, counts) AS (
    -- From the rollups:
    SELECT segment.step, provider, model, calls, max_ms, slots, counts
    FROM :rollup_segments
    CROSS JOIN LATERAL (SELECT * FROM token_tracker_latency_rollup AS rollup WHERE :is_in_segment OFFSET 0) AS rollup
    WHERE :counts_in_rollup
      AND (:model IS NULL OR model = :model)
      AND (:provider IS NULL OR provider = :provider)
    UNION ALL
    -- From the rows:
    SELECT segment.step, provider, model, count(*), max(processing_time::float8),
           ARRAY[:duration_bin], ARRAY[count(*)]
    FROM :segment_calls
    WHERE :matches_filters
      AND processing_time IS NOT NULL
    GROUP BY 1, 2, 3, :duration_bin
    UNION ALL
    SELECT :call_step, provider, model, count(*), max(processing_time::float8),
           ARRAY[:duration_bin], ARRAY[count(*)]
    FROM token_usage AS calls
    WHERE created_at >= :rows_start AND created_at < :rows_until
      AND :matches_filters
      AND processing_time IS NOT NULL
    GROUP BY 1, 2, 3, :duration_bin
), slots AS (
    SELECT CASE WHEN 'step' = ANY (CAST(:by AS text[])) THEN step END AS step,
           CASE WHEN 'provider' = ANY (CAST(:by AS text[])) THEN provider END AS provider,
           CASE WHEN 'model' = ANY (CAST(:by AS text[])) THEN model END AS model,
           slot, sum(count)::bigint AS calls, max(max_ms) AS max_ms
    FROM used CROSS JOIN unnest(slots, counts) AS histogram (slot, count)
    GROUP BY 1, 2, 3, 4
)
SELECT step, provider, model, sum(calls)::bigint AS calls, max(max_ms) AS max_ms,
       array_agg(slot ORDER BY slot) AS slots, array_agg(calls ORDER BY slot) AS counts
FROM slots
GROUP BY step, provider, model
ORDER BY step, calls DESC;
