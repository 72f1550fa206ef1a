-- How many tokens and USD did these users use in this window? (Test calls are excluded.)
\ir ../../reports/sql/defaults.sql
WITH used (user_id, total_tokens, cost, unpriced_calls) AS (
    -- From the rollups:
    SELECT user_id, rollup.total_tokens, rollup.cost, rollup.unpriced_calls
    FROM unnest(CAST(:starts AS timestamptz[]), CAST(:untils AS timestamptz[]), CAST(:first_slots AS smallint[]),
                CAST(:until_slots AS smallint[]), CAST(:generations AS integer[]))
      AS stretch (start, until, first, until_slot, generation)
    CROSS JOIN LATERAL (
        SELECT user_id, is_test, total_tokens, cost, unpriced_calls
        FROM token_tracker_user_rollup AS rollup
        WHERE day >= stretch.start AND day < stretch.until AND rollup.generation >= stretch.generation
          AND user_id = ANY (CAST(:users AS text[]))
        OFFSET 0
    ) AS rollup
    WHERE stretch.first = 0 AND stretch.until_slot = 96 AND is_test IS NOT TRUE
    UNION ALL
    SELECT user_id, tokens, part.cost, unpriced
    FROM unnest(CAST(:starts AS timestamptz[]), CAST(:untils AS timestamptz[]), CAST(:first_slots AS smallint[]),
                CAST(:until_slots AS smallint[]), CAST(:generations AS integer[]))
      AS stretch (start, until, first, until_slot, generation)
    CROSS JOIN LATERAL (
        SELECT *
        FROM token_tracker_user_rollup AS rollup
        WHERE day >= stretch.start AND day < stretch.until AND rollup.generation >= stretch.generation
          AND first_slot < stretch.until_slot AND last_slot >= stretch.first
          AND user_id = ANY (CAST(:users AS text[]))
        OFFSET 0
    ) AS rollup
    CROSS JOIN unnest(slots, slot_tokens, slot_costs, slot_unpriced) AS part (slot, tokens, cost, unpriced)
    WHERE NOT (stretch.first = 0 AND stretch.until_slot = 96) AND slot >= stretch.first AND slot < stretch.until_slot
      AND is_test IS NOT TRUE
    UNION ALL
    -- From the rows:
    SELECT user_id, coalesce(total_tokens, input_tokens::bigint + output_tokens, 0)::bigint, CASE WHEN abs(cost::numeric) <= 1e9 THEN cost::numeric END, (abs(cost::numeric) <= 1e9 IS NOT TRUE)::int
    FROM unnest(CAST(:rows_starts AS timestamptz[]), CAST(:rows_untils AS timestamptz[])) AS stretch (start, until)
    CROSS JOIN LATERAL (
        SELECT *
        FROM token_usage AS calls
        WHERE created_at >= stretch.start AND created_at < stretch.until
        OFFSET 0
    ) AS calls
    WHERE is_test IS NOT TRUE AND user_id = ANY (CAST(:users AS text[]))
    UNION ALL
    SELECT user_id, coalesce(total_tokens, input_tokens::bigint + output_tokens, 0)::bigint, CASE WHEN abs(cost::numeric) <= 1e9 THEN cost::numeric END, (abs(cost::numeric) <= 1e9 IS NOT TRUE)::int
    FROM token_usage AS calls
    WHERE created_at >= :rows_start AND created_at < :rows_until AND is_test IS NOT TRUE
      AND user_id = ANY (CAST(:users AS text[]))
)
SELECT user_id, sum(total_tokens)::bigint AS tokens, coalesce(sum(cost) FILTER (WHERE abs(cost) <= 1e15), 0) AS usd,
       sum(unpriced_calls)::bigint AS unpriced_calls
FROM used
GROUP BY user_id;
