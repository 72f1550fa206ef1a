-- How many users had at least one call in this range, step by step?
\ir defaults.sql
SELECT step, count(*) AS users
FROM (
    -- From the rollups:
    SELECT stretch.step, user_id
    FROM unnest(CAST(:starts AS timestamptz[]), CAST(:untils AS timestamptz[]), CAST(:first_slots AS smallint[]),
                CAST(:until_slots AS smallint[]), CAST(:steps AS integer[]), CAST(:generations AS integer[]))
      AS stretch (start, until, first, until_slot, step, generation)
    CROSS JOIN LATERAL (
        SELECT user_id, is_test
        FROM token_tracker_user_day_rollup AS rollup
        WHERE day >= stretch.start AND day < stretch.until AND rollup.generation >= stretch.generation
          -- The day's first and last quarter tell for its beginning and its end; for its middle the array does.
          AND first_slot < stretch.until_slot AND last_slot >= stretch.first
          AND (stretch.first = 0 OR stretch.until_slot = 96
               OR EXISTS (SELECT FROM unnest(slots) AS slot WHERE slot >= stretch.first AND slot < stretch.until_slot))
        OFFSET 0
    ) AS rollup
    WHERE (:include_tests OR is_test IS NOT TRUE)
    UNION
    -- From the rows:
    SELECT stretch.step, user_id
    FROM unnest(CAST(:rows_starts AS timestamptz[]), CAST(:rows_untils AS timestamptz[]), CAST(:rows_steps AS integer[]))
      AS stretch (start, until, step)
    CROSS JOIN LATERAL (
        SELECT *
        FROM token_usage AS calls
        WHERE created_at >= stretch.start AND created_at < stretch.until
        OFFSET 0
    ) AS calls
    WHERE (:include_tests OR is_test IS NOT TRUE)
      AND (:model IS NULL OR model = :model)
      AND (:provider IS NULL OR provider = :provider)
      AND (:operation IS NULL OR operation = :operation)
      AND (:user IS NULL OR user_id = :user)
      AND (:environment IS NULL OR environment = :environment)
    UNION
    SELECT (CAST(:edge_steps AS integer[]))[width_bucket(created_at, CAST(:edges AS timestamptz[]))] AS step, user_id
    FROM token_usage AS calls
    WHERE created_at >= :rows_start AND created_at < :rows_until
      AND (:include_tests OR is_test IS NOT TRUE)
      AND (:model IS NULL OR model = :model)
      AND (:provider IS NULL OR provider = :provider)
      AND (:operation IS NULL OR operation = :operation)
      AND (:user IS NULL OR user_id = :user)
      AND (:environment IS NULL OR environment = :environment)
) AS active
WHERE user_id IS NOT NULL
GROUP BY step
ORDER BY step;
