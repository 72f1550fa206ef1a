-- How many calls, tokens and USD are there in all, by provider, model, operation and environment?
-- Test and sample calls are excluded. Longer names would not fit into the key of the stored totals.
\ir ../../reports/sql/defaults.sql
WITH used (provider, model, operation, environment, calls, failed_calls, unpriced_calls, input_tokens, output_tokens,
           cache_read_input_tokens, cache_write_input_tokens, reasoning_output_tokens, cost) AS (
    -- From the rollups:
    SELECT provider, model, operation, environment, calls, failed_calls, unpriced_calls, input_tokens, output_tokens,
           cache_read_input_tokens, cache_write_input_tokens, reasoning_output_tokens, cost
    FROM :rollup_segments
    CROSS JOIN LATERAL (SELECT * FROM token_tracker_usage_rollup AS rollup WHERE :is_in_segment OFFSET 0) AS rollup
    WHERE is_test IS NOT TRUE AND NOT is_sample
    UNION ALL
    -- From the rows:
    SELECT provider, model, operation, environment, 1, (success IS FALSE)::int, (:has_cost IS NOT TRUE)::int,
           coalesce(input_tokens, 0)::bigint, coalesce(output_tokens, 0)::bigint,
           coalesce(cache_read_input_tokens, 0)::bigint, coalesce(cache_write_input_tokens, 0)::bigint,
           coalesce(reasoning_output_tokens, 0)::bigint, CASE WHEN :has_cost THEN cost::numeric END
    FROM :segment_calls
    WHERE is_test IS NOT TRUE AND NOT :call_is_sample
    UNION ALL
    SELECT provider, model, operation, environment, 1, (success IS FALSE)::int, (:has_cost IS NOT TRUE)::int,
           coalesce(input_tokens, 0)::bigint, coalesce(output_tokens, 0)::bigint,
           coalesce(cache_read_input_tokens, 0)::bigint, coalesce(cache_write_input_tokens, 0)::bigint,
           coalesce(reasoning_output_tokens, 0)::bigint, CASE WHEN :has_cost THEN cost::numeric END
    FROM token_usage AS calls
    WHERE created_at >= :rows_start AND created_at < :rows_until AND is_test IS NOT TRUE AND NOT :call_is_sample
)
SELECT left(coalesce(provider, 'unknown'), 200), left(coalesce(model, 'unknown'), 200),
       left(coalesce(operation, 'unknown'), 200), left(coalesce(environment, 'unknown'), 200),
       sum(calls)::numeric, sum(failed_calls)::numeric, sum(unpriced_calls)::numeric, sum(input_tokens)::numeric,
       sum(output_tokens)::numeric, sum(cache_read_input_tokens)::numeric, sum(cache_write_input_tokens)::numeric,
       sum(reasoning_output_tokens)::numeric, coalesce(sum(cost) FILTER (WHERE abs(cost) <= 1e15), 0)
FROM used
GROUP BY 1, 2, 3, 4
ORDER BY 5 DESC, 1, 2, 3, 4;
