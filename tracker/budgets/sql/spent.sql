-- How many tokens and USD were used in this window, by model and operation? (Test calls are excluded.)
\ir ../../reports/sql/defaults.sql
WITH used (model, operation, total_tokens, cost, unpriced_calls) AS (
    -- From the rollups:
    SELECT model, operation, rollup.total_tokens, rollup.cost, rollup.unpriced_calls
    FROM unnest(CAST(:minutes AS smallint[]), CAST(:starts AS timestamptz[]), CAST(:untils AS timestamptz[]),
                CAST(:generations AS integer[])) AS stretch (minutes, start, until, generation)
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
    SELECT model, operation, coalesce(total_tokens, input_tokens::bigint + output_tokens, 0)::bigint, CASE WHEN abs(cost::numeric) <= 1e9 THEN cost::numeric END, (abs(cost::numeric) <= 1e9 IS NOT TRUE)::int
    FROM unnest(CAST(:rows_starts AS timestamptz[]), CAST(:rows_untils AS timestamptz[])) AS stretch (start, until)
    CROSS JOIN LATERAL (
        SELECT *
        FROM token_usage AS calls
        WHERE created_at >= stretch.start AND created_at < stretch.until
        OFFSET 0
    ) AS calls
    WHERE is_test IS NOT TRUE
    UNION ALL
    SELECT model, operation, coalesce(total_tokens, input_tokens::bigint + output_tokens, 0)::bigint, CASE WHEN abs(cost::numeric) <= 1e9 THEN cost::numeric END, (abs(cost::numeric) <= 1e9 IS NOT TRUE)::int
    FROM token_usage AS calls
    WHERE created_at >= :rows_start AND created_at < :rows_until AND is_test IS NOT TRUE
)
SELECT model, operation, sum(total_tokens)::bigint AS tokens, coalesce(sum(cost) FILTER (WHERE abs(cost) <= 1e15), 0) AS usd,
       sum(unpriced_calls)::bigint AS unpriced_calls
FROM used
GROUP BY model, operation;
