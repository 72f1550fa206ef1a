-- How many tokens do these users have, by step?
\ir defaults.sql
WITH used (step, user_id, total_tokens) AS (
    -- From the rollups:
    SELECT segment.step, user_id, rollup.total_tokens
    FROM :user_segments
    CROSS JOIN LATERAL (
        -- Days of a user whose calls are all in the segment.
        SELECT user_id, is_test, is_sample, total_tokens
        FROM token_tracker_user_rollup AS rollup
        WHERE day >= segment.start AND day < segment.until AND rollup.generation >= segment.generation
          AND first_slot >= segment.first AND last_slot < segment.until_slot
          AND user_id = ANY (CAST(:users AS text[]))
        OFFSET 0
    ) AS rollup
    WHERE :counts_in_rollup
    UNION ALL
    SELECT segment.step, user_id, tokens
    FROM :user_segments
    CROSS JOIN LATERAL (
        -- Days with calls inside and outside of the segment. A segment of whole days has none.
        SELECT *
        FROM token_tracker_user_rollup AS rollup
        WHERE NOT (segment.first = 0 AND segment.until_slot = 96)
          AND day >= segment.start AND day < segment.until AND rollup.generation >= segment.generation
          AND first_slot < segment.until_slot AND last_slot >= segment.first
          AND NOT (first_slot >= segment.first AND last_slot < segment.until_slot)
          AND user_id = ANY (CAST(:users AS text[]))
        OFFSET 0
    ) AS rollup
    CROSS JOIN unnest(slots, slot_tokens) AS part (slot, tokens)
    WHERE slot >= segment.first AND slot < segment.until_slot AND :counts_in_rollup
    UNION ALL
    -- From the rows:
    SELECT segment.step, user_id, coalesce(:call_tokens, 0)::bigint
    FROM :segment_calls
    WHERE :matches_filters
      AND user_id = ANY (CAST(:users AS text[]))
    UNION ALL
    SELECT :call_step,
           user_id, coalesce(:call_tokens, 0)::bigint
    FROM token_usage AS calls
    WHERE created_at >= :rows_start AND created_at < :rows_until
      AND :matches_filters
      AND user_id = ANY (CAST(:users AS text[]))
)
SELECT step, user_id, sum(total_tokens)::bigint AS total_tokens
FROM used
GROUP BY step, user_id
ORDER BY step, user_id;
