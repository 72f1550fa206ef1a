-- What was used, by day (a step), provider and model? Rows imported from a provider's usage export are excluded.
\ir ../../reports/sql/defaults.sql
WITH used (step, provider, model, operation, calls, input_tokens, output_tokens, cost, unpriced_calls) AS (
    -- From the rollups:
    SELECT stretch.step, provider, model, operation, rollup.calls, input_tokens, output_tokens, cost, unpriced_calls
    FROM unnest(CAST(:minutes AS smallint[]), CAST(:starts AS timestamptz[]), CAST(:untils AS timestamptz[]),
                CAST(:steps AS integer[]), CAST(:generations AS integer[]))
      AS stretch (minutes, start, until, step, generation)
    CROSS JOIN LATERAL (
        SELECT *
        FROM token_tracker_usage_rollup AS rollup
        WHERE rollup.minutes = stretch.minutes AND bucket >= stretch.start AND bucket < stretch.until
          AND rollup.generation >= stretch.generation
        OFFSET 0
    ) AS rollup
    WHERE is_test IS NOT TRUE
    UNION ALL
    -- From the rows:
    SELECT stretch.step, provider, model, operation, 1, coalesce(input_tokens, 0)::bigint,
           coalesce(output_tokens, 0)::bigint, CASE WHEN abs(cost::numeric) <= 1e9 THEN cost::numeric END, (abs(cost::numeric) <= 1e9 IS NOT TRUE)::int
    FROM unnest(CAST(:rows_starts AS timestamptz[]), CAST(:rows_untils AS timestamptz[]), CAST(:rows_steps AS integer[]))
      AS stretch (start, until, step)
    CROSS JOIN LATERAL (
        SELECT *
        FROM token_usage AS calls
        WHERE created_at >= stretch.start AND created_at < stretch.until
        OFFSET 0
    ) AS calls
    WHERE is_test IS NOT TRUE
    UNION ALL
    SELECT (CAST(:edge_steps AS integer[]))[width_bucket(created_at, CAST(:edges AS timestamptz[]))],
           provider, model, operation, 1, coalesce(input_tokens, 0)::bigint,
           coalesce(output_tokens, 0)::bigint, CASE WHEN abs(cost::numeric) <= 1e9 THEN cost::numeric END, (abs(cost::numeric) <= 1e9 IS NOT TRUE)::int
    FROM token_usage AS calls
    WHERE created_at >= :rows_start AND created_at < :rows_until AND is_test IS NOT TRUE
)
SELECT step, provider, model, sum(calls)::bigint AS calls, sum(input_tokens)::bigint AS input_tokens,
       sum(output_tokens)::bigint AS output_tokens, coalesce(sum(cost), 0) AS cost,
       sum(unpriced_calls)::bigint AS unpriced_calls
FROM used
WHERE operation IS DISTINCT FROM 'usage_export'
GROUP BY step, provider, model;
