-- What are the usage totals by the columns in `by` (and by step if it contains `step`)?
-- Reads rollup buckets that are up to date; dirty buckets and the ends of the range from the rows.
\ir defaults.sql
WITH used (step, provider, model, operation, environment, calls, failed_calls, input_tokens, output_tokens,
           total_tokens, cache_read_input_tokens, cache_write_input_tokens, reasoning_output_tokens,
           cost, unpriced_calls, unpriced_tokens, sample_calls) AS (
    -- From the rollups:
    SELECT segment.step, provider, model, operation, environment, calls, failed_calls, input_tokens, output_tokens,
           total_tokens, cache_read_input_tokens, cache_write_input_tokens, reasoning_output_tokens,
           cost, unpriced_calls, unpriced_tokens, sample_calls
    FROM :rollup_segments
    CROSS JOIN LATERAL (SELECT * FROM token_tracker_usage_rollup AS rollup WHERE :is_in_segment OFFSET 0) AS rollup
    WHERE :counts_in_rollup
      AND (:model IS NULL OR model = :model)
      AND (:provider IS NULL OR provider = :provider)
      AND (:operation IS NULL OR operation = :operation)
      AND (:environment IS NULL OR environment = :environment)
    UNION ALL
    -- From the rows:
    SELECT segment.step, provider, model, operation, environment,
           1, (success IS FALSE)::int, coalesce(input_tokens, 0)::bigint, coalesce(output_tokens, 0)::bigint,
           coalesce(:call_tokens, 0)::bigint, coalesce(cache_read_input_tokens, 0)::bigint,
           coalesce(cache_write_input_tokens, 0)::bigint, coalesce(reasoning_output_tokens, 0)::bigint,
           CASE WHEN :has_cost THEN cost::numeric END, (:has_cost IS NOT TRUE)::int,
           CASE WHEN :has_cost IS NOT TRUE THEN coalesce(:call_tokens, 0)::bigint ELSE 0 END,
           (:call_is_sample)::int
    FROM :segment_calls
    WHERE :matches_filters
    UNION ALL
    SELECT :call_step,
           provider, model, operation, environment,
           1, (success IS FALSE)::int, coalesce(input_tokens, 0)::bigint, coalesce(output_tokens, 0)::bigint,
           coalesce(:call_tokens, 0)::bigint, coalesce(cache_read_input_tokens, 0)::bigint,
           coalesce(cache_write_input_tokens, 0)::bigint, coalesce(reasoning_output_tokens, 0)::bigint,
           CASE WHEN :has_cost THEN cost::numeric END, (:has_cost IS NOT TRUE)::int,
           CASE WHEN :has_cost IS NOT TRUE THEN coalesce(:call_tokens, 0)::bigint ELSE 0 END,
           (:call_is_sample)::int
    FROM token_usage AS calls
    WHERE created_at >= :rows_start AND created_at < :rows_until
      AND :matches_filters
)
SELECT CASE WHEN 'step' = ANY (CAST(:by AS text[])) THEN step END AS step,
       CASE WHEN 'provider' = ANY (CAST(:by AS text[])) THEN provider END AS provider,
       CASE WHEN 'model' = ANY (CAST(:by AS text[])) THEN model END AS model,
       CASE WHEN 'operation' = ANY (CAST(:by AS text[])) THEN operation END AS operation,
       CASE WHEN 'environment' = ANY (CAST(:by AS text[])) THEN environment END AS environment,
       sum(calls)::bigint AS calls,
       sum(failed_calls)::bigint AS failed_calls,
       sum(input_tokens)::bigint AS input_tokens,
       sum(output_tokens)::bigint AS output_tokens,
       sum(total_tokens)::bigint AS total_tokens,
       sum(cache_read_input_tokens)::bigint AS cache_read_input_tokens,
       sum(cache_write_input_tokens)::bigint AS cache_write_input_tokens,
       sum(reasoning_output_tokens)::bigint AS reasoning_output_tokens,
       sum(cost) AS cost_usd,
       sum(unpriced_calls)::bigint AS unpriced_calls,
       sum(unpriced_tokens)::bigint AS unpriced_tokens,
       sum(sample_calls)::bigint AS sample_calls
FROM used
GROUP BY 1, 2, 3, 4, 5
ORDER BY 1, total_tokens DESC;
