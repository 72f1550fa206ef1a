-- How many tokens and USD did these users use in this window?
-- Test calls are excluded. Sample calls are excluded, or with `samples` the only ones.
\if :{?samples} \else \set samples false \endif
\ir ../../reports/sql/defaults.sql
WITH used (user_id, total_tokens, cost, unpriced_calls) AS (
    -- From the rollups:
    SELECT user_id, rollup.total_tokens, rollup.cost, rollup.unpriced_calls
    FROM :user_segments
    CROSS JOIN LATERAL (
        SELECT user_id, is_test, is_sample, total_tokens, cost, unpriced_calls
        FROM token_tracker_user_rollup AS rollup
        WHERE day >= segment.start AND day < segment.until AND rollup.generation >= segment.generation
          AND user_id = ANY (CAST(:users AS text[]))
        OFFSET 0
    ) AS rollup
    WHERE segment.first = 0 AND segment.until_slot = 96 AND is_test IS NOT TRUE AND is_sample = :samples
    UNION ALL
    SELECT user_id, tokens, part.cost, unpriced
    FROM :user_segments
    CROSS JOIN LATERAL (
        SELECT *
        FROM token_tracker_user_rollup AS rollup
        WHERE day >= segment.start AND day < segment.until AND rollup.generation >= segment.generation
          AND first_slot < segment.until_slot AND last_slot >= segment.first
          AND user_id = ANY (CAST(:users AS text[]))
        OFFSET 0
    ) AS rollup
    CROSS JOIN unnest(slots, slot_tokens, slot_costs, slot_unpriced) AS part (slot, tokens, cost, unpriced)
    WHERE NOT (segment.first = 0 AND segment.until_slot = 96) AND slot >= segment.first AND slot < segment.until_slot
      AND is_test IS NOT TRUE AND is_sample = :samples
    UNION ALL
    -- From the rows:
    SELECT user_id, coalesce(:call_tokens, 0)::bigint, CASE WHEN :has_cost THEN cost::numeric END, (:has_cost IS NOT TRUE)::int
    FROM :segment_calls
    WHERE is_test IS NOT TRUE AND :call_is_sample = :samples AND user_id = ANY (CAST(:users AS text[]))
    UNION ALL
    SELECT user_id, coalesce(:call_tokens, 0)::bigint, CASE WHEN :has_cost THEN cost::numeric END, (:has_cost IS NOT TRUE)::int
    FROM token_usage AS calls
    WHERE created_at >= :rows_start AND created_at < :rows_until AND is_test IS NOT TRUE AND :call_is_sample = :samples
      AND user_id = ANY (CAST(:users AS text[]))
)
SELECT user_id, sum(total_tokens)::bigint AS tokens, coalesce(sum(cost) FILTER (WHERE abs(cost) <= 1e15), 0) AS usd,
       sum(unpriced_calls)::bigint AS unpriced_calls
FROM used
GROUP BY user_id;
