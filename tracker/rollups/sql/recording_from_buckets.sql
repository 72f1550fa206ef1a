-- What are the recording totals of these hours or days, from the next smaller buckets?
\ir defaults.sql
WITH parts AS (
    SELECT larger.bucket AS larger_bucket, source.*
    FROM unnest(CAST(:larger_buckets AS timestamptz[])) AS larger (bucket)
    JOIN token_tracker_recording_rollup AS source
      ON source.minutes = :source_minutes AND source.generation = :generation
     AND source.bucket >= larger.bucket AND source.bucket < larger.bucket + make_interval(mins => :minutes)
), histogram AS (
    SELECT larger_bucket, generation, is_test, is_sample, environment,
           array_agg(slot ORDER BY slot) AS slots, array_agg(count ORDER BY slot) AS counts
    FROM (
        SELECT larger_bucket, generation, is_test, is_sample, environment, slot, sum(count)::bigint AS count
        FROM parts CROSS JOIN unnest(slots, counts) AS histogram (slot, count)
        GROUP BY 1, 2, 3, 4, 5, 6
    ) AS slots
    GROUP BY 1, 2, 3, 4, 5
)
SELECT CAST(:minutes AS smallint) AS minutes, parts.larger_bucket AS bucket, parts.generation, parts.is_test, parts.is_sample, parts.environment,
       sum(records)::bigint AS records, sum(retried_records)::bigint AS retried_records,
       sum(retries)::bigint AS retries, sum(late_records)::bigint AS late_records,
       max(worst_lag_s) AS worst_lag_s, max(connection_max_ms) AS connection_max_ms,
       histogram.slots, histogram.counts
FROM parts
JOIN histogram ON histogram.larger_bucket = parts.larger_bucket AND histogram.generation = parts.generation
 AND histogram.is_test = parts.is_test AND histogram.is_sample = parts.is_sample
 AND histogram.environment IS NOT DISTINCT FROM parts.environment
GROUP BY parts.larger_bucket, parts.generation, parts.is_test, parts.is_sample, parts.environment, histogram.slots, histogram.counts;
