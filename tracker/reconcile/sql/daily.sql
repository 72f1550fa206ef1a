-- What was used, by day (a step), provider, model and the compared keys of metadata? Rows imported from a provider's usage
-- export and sample rows are excluded.
\if :{?compared_keys} \else \set compared_keys NULL \endif
\ir ../../reports/sql/defaults.sql
WITH used (step, provider, model, properties, operation, calls, input_tokens, output_tokens, cost, unpriced_calls) AS (
    -- From the rollups:
    SELECT segment.step, provider, model, NULL::text[], operation, rollup.calls, input_tokens, output_tokens, cost,
           unpriced_calls
    FROM :rollup_segments
    CROSS JOIN LATERAL (SELECT * FROM token_tracker_usage_rollup AS rollup WHERE :is_in_segment OFFSET 0) AS rollup
    WHERE is_test IS NOT TRUE AND NOT is_sample
    UNION ALL
    -- From the rows:
    SELECT segment.step, provider, model,
           CASE WHEN CAST(:compared_keys AS text[]) IS NOT NULL THEN ARRAY(
               SELECT coalesce(metadata ->> keys.key, '')
               FROM unnest(CAST(:compared_keys AS text[])) WITH ORDINALITY AS keys (key, position)
               ORDER BY keys.position) END,
           operation, 1, coalesce(input_tokens, 0)::bigint,
           coalesce(output_tokens, 0)::bigint, CASE WHEN :has_cost THEN cost::numeric END, (:has_cost IS NOT TRUE)::int
    FROM :segment_calls
    WHERE is_test IS NOT TRUE AND NOT :call_is_sample
    UNION ALL
    SELECT :call_step,
           provider, model,
           CASE WHEN CAST(:compared_keys AS text[]) IS NOT NULL THEN ARRAY(
               SELECT coalesce(metadata ->> keys.key, '')
               FROM unnest(CAST(:compared_keys AS text[])) WITH ORDINALITY AS keys (key, position)
               ORDER BY keys.position) END,
           operation, 1, coalesce(input_tokens, 0)::bigint,
           coalesce(output_tokens, 0)::bigint, CASE WHEN :has_cost THEN cost::numeric END, (:has_cost IS NOT TRUE)::int
    FROM token_usage AS calls
    WHERE created_at >= :rows_start AND created_at < :rows_until AND is_test IS NOT TRUE AND NOT :call_is_sample
)
SELECT step, provider, model, properties, sum(calls)::bigint AS calls, sum(input_tokens)::bigint AS input_tokens,
       sum(output_tokens)::bigint AS output_tokens, coalesce(sum(cost), 0) AS cost,
       sum(unpriced_calls)::bigint AS unpriced_calls
FROM used
WHERE operation IS DISTINCT FROM 'usage_export'
GROUP BY step, provider, model, properties;
