-- How many tokens and USD were used in this window, by model and operation?
-- Test calls are excluded. Sample calls are excluded, or with `samples` the only ones.
\if :{?samples} \else \set samples false \endif
\ir ../../reports/sql/defaults.sql
WITH used (model, operation, total_tokens, cost, unpriced_calls) AS (
    -- From the rollups:
    SELECT model, operation, rollup.total_tokens, rollup.cost, rollup.unpriced_calls
    FROM :rollup_segments
    CROSS JOIN LATERAL (SELECT * FROM token_tracker_usage_rollup AS rollup WHERE :is_in_segment OFFSET 0) AS rollup
    WHERE is_test IS NOT TRUE AND is_sample = :samples
    UNION ALL
    -- From the rows:
    SELECT model, operation, coalesce(:call_tokens, 0)::bigint, CASE WHEN :has_cost THEN cost::numeric END, (:has_cost IS NOT TRUE)::int
    FROM :segment_calls
    WHERE is_test IS NOT TRUE AND :call_is_sample = :samples
    UNION ALL
    SELECT model, operation, coalesce(:call_tokens, 0)::bigint, CASE WHEN :has_cost THEN cost::numeric END, (:has_cost IS NOT TRUE)::int
    FROM token_usage AS calls
    WHERE created_at >= :rows_start AND created_at < :rows_until AND is_test IS NOT TRUE AND :call_is_sample = :samples
)
SELECT model, operation, sum(total_tokens)::bigint AS tokens, coalesce(sum(cost) FILTER (WHERE abs(cost) <= 1e15), 0) AS usd,
       sum(unpriced_calls)::bigint AS unpriced_calls
FROM used
GROUP BY model, operation;
