-- Which users have the most tokens?
\ir defaults.sql
WITH used (user_id, calls, total_tokens, cost, cost_local, unpriced_calls) AS (
    -- From the rollups:
    SELECT user_id, rollup.calls, rollup.total_tokens, rollup.cost, rollup.cost * :segment_rate, rollup.unpriced_calls
    FROM :user_segments
    CROSS JOIN LATERAL (
        -- Days of a user whose calls are all in the segment.
        SELECT user_id, is_test, is_sample, calls, total_tokens, cost, unpriced_calls
        FROM token_tracker_user_day_rollup AS rollup
        WHERE day >= segment.start AND day < segment.until AND rollup.generation >= segment.generation
          AND first_slot >= segment.first AND last_slot < segment.until_slot
        OFFSET 0
    ) AS rollup
    WHERE :counts_in_rollup
    UNION ALL
    SELECT user_id, part.calls, tokens, part.cost, part.cost * :segment_rate, unpriced
    FROM :user_segments
    CROSS JOIN LATERAL (
        -- Days with calls inside and outside of the segment. A segment of whole days has none.
        SELECT *
        FROM token_tracker_user_rollup AS rollup
        WHERE NOT (segment.first = 0 AND segment.until_slot = 96)
          AND day >= segment.start AND day < segment.until AND rollup.generation >= segment.generation
          AND first_slot < segment.until_slot AND last_slot >= segment.first
          AND NOT (first_slot >= segment.first AND last_slot < segment.until_slot)
        OFFSET 0
    ) AS rollup
    CROSS JOIN unnest(slots, slot_calls, slot_tokens, slot_costs, slot_unpriced)
      AS part (slot, calls, tokens, cost, unpriced)
    WHERE slot >= segment.first AND slot < segment.until_slot
      AND :counts_in_rollup
    UNION ALL
    -- From the rows:
    SELECT user_id, 1, coalesce(:call_tokens, 0)::bigint, CASE WHEN :has_cost THEN cost::numeric END,
           CASE WHEN :has_cost THEN cost::numeric * :call_rate END, (:has_cost IS NOT TRUE)::int
    FROM :segment_calls
    WHERE :matches_filters
    UNION ALL
    SELECT user_id, 1, coalesce(:call_tokens, 0)::bigint, CASE WHEN :has_cost THEN cost::numeric END,
           CASE WHEN :has_cost THEN cost::numeric * :call_rate END, (:has_cost IS NOT TRUE)::int
    FROM token_usage AS calls
    WHERE created_at >= :rows_start AND created_at < :rows_until
      AND :matches_filters
)
SELECT user_id, sum(calls)::bigint AS calls, sum(total_tokens)::bigint AS total_tokens, sum(cost) AS cost_usd,
       sum(cost_local) AS cost_local,
       sum(unpriced_calls)::bigint AS unpriced_calls
FROM used
GROUP BY user_id
ORDER BY total_tokens DESC, user_id
LIMIT :count;
