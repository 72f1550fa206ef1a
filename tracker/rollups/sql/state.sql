-- What do the rollups cover, which 15-minute buckets changed since the last refresh (seconds of the epoch), and which
-- properties are indexed?
-- A row that was recorded within 15 minutes of its call is searched by created_at, a later row by a partial index of late
-- rows. If seen_until is in the future, the clock was set back, and the rows of the last day are searched.
-- A row with NULL as recorded_at is treated as recorded within these 15 minutes.
SELECT extract(epoch FROM covered_from)::float8 AS covered_from,
       extract(epoch FROM refreshed_at)::float8 AS refreshed_at,
       extract(epoch FROM pruned_until)::float8 AS pruned_until,
       generation,
       ARRAY(
           SELECT extract(epoch FROM bucket)::bigint
           FROM token_tracker_rollup_touched AS touched
           WHERE bucket >= covered_from
           UNION
           SELECT extract(epoch FROM date_bin('15 minutes', created_at, 'epoch'))::bigint
           FROM token_usage AS calls
           -- With the upper limit the planner expects a short range; without it, it reads the whole table.
           WHERE created_at >= greatest(seen_until - interval '15 minutes', covered_from) AND created_at < '9999-12-30 00:00Z'
             AND created_at >= '0001-01-02 00:00Z' AND (recorded_at >= seen_until OR recorded_at IS NULL)
           UNION
           SELECT extract(epoch FROM date_bin('15 minutes', created_at, 'epoch'))::bigint
           FROM token_usage AS calls
           WHERE recorded_at >= seen_until AND recorded_at < 'infinity'
             AND (recorded_at AT TIME ZONE 'UTC') - interval '15 minutes' > (created_at AT TIME ZONE 'UTC')
             AND created_at >= covered_from
             AND created_at >= '0001-01-02 00:00Z'
       ) AS dirty_buckets,
       ARRAY(
           SELECT property FROM token_tracker_properties AS keys WHERE is_indexed ORDER BY property
       ) AS properties,
       EXISTS (
           SELECT FROM token_tracker_properties AS keys WHERE needs_purge OR is_indexed AND keys.covered_from > '-infinity'
       ) AS has_unfinished_properties
FROM (
    SELECT covered_from, refreshed_at, pruned_until, generation,
           CASE WHEN seen_until > clock_timestamp() THEN clock_timestamp() - interval '1 day' ELSE seen_until END AS seen_until
    FROM token_tracker_rollup_state
) AS state;
