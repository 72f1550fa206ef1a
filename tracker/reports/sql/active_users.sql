-- How many distinct users made calls, by step?
\ir defaults.sql
SELECT step, count(*) AS users
FROM (
    -- From the rollups:
    SELECT segment.step, user_id
    FROM :user_segments
    CROSS JOIN LATERAL (
        SELECT user_id, is_test, is_sample
        FROM token_tracker_user_day_rollup AS rollup
        WHERE day >= segment.start AND day < segment.until AND rollup.generation >= segment.generation
          -- first_slot and last_slot decide for the start and the end of a day, the array `slots` for its middle.
          AND first_slot < segment.until_slot AND last_slot >= segment.first
          AND (segment.first = 0 OR segment.until_slot = 96
               OR EXISTS (SELECT FROM unnest(slots) AS slot WHERE slot >= segment.first AND slot < segment.until_slot))
        OFFSET 0
    ) AS rollup
    WHERE :counts_in_rollup
    UNION
    -- From the rows:
    SELECT segment.step, user_id
    FROM :segment_calls
    WHERE :matches_filters
    UNION
    SELECT :call_step AS step, user_id
    FROM token_usage AS calls
    WHERE created_at >= :rows_start AND created_at < :rows_until
      AND :matches_filters
) AS active
WHERE user_id IS NOT NULL
GROUP BY step
ORDER BY step;
