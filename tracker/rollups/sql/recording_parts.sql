-- What do the figures about recording of these hours' or days' parts add up to?
\ir defaults.sql
WITH part AS (
    SELECT whole.bucket AS whole, part.*
    FROM unnest(CAST(:wholes AS timestamptz[])) AS whole (bucket)
    JOIN token_tracker_recording_rollup AS part
      ON part.minutes = :part_minutes AND part.generation = :generation
     AND part.bucket >= whole.bucket AND part.bucket < whole.bucket + make_interval(mins => :minutes)
), histogram AS (
    SELECT whole, generation, is_test, environment,
           array_agg(slot ORDER BY slot) AS slots, array_agg(count ORDER BY slot) AS counts
    FROM (
        SELECT whole, generation, is_test, environment, slot, sum(count)::bigint AS count
        FROM part CROSS JOIN unnest(slots, counts) AS histogram (slot, count)
        GROUP BY 1, 2, 3, 4, 5
    ) AS slots
    GROUP BY 1, 2, 3, 4
)
SELECT CAST(:minutes AS smallint) AS minutes, part.whole AS bucket, part.generation, part.is_test, part.environment,
       sum(records)::bigint AS records, sum(retried_records)::bigint AS retried_records,
       sum(retries)::bigint AS retries, sum(late_records)::bigint AS late_records,
       max(worst_lag_s) AS worst_lag_s, max(connection_max_ms) AS connection_max_ms,
       histogram.slots, histogram.counts
FROM part
JOIN histogram ON histogram.whole = part.whole AND histogram.generation = part.generation
 AND histogram.is_test = part.is_test AND histogram.environment IS NOT DISTINCT FROM part.environment
GROUP BY part.whole, part.generation, part.is_test, part.environment, histogram.slots, histogram.counts;
