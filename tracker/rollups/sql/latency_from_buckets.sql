-- What are the latency histograms of these hours or days by model, from the next smaller buckets?
\ir defaults.sql
SELECT CAST(:minutes AS smallint) AS minutes, bucket, generation, is_test, is_sample, provider, model,
       sum(calls)::bigint AS calls, max(max_ms) AS max_ms,
       array_agg(slot ORDER BY slot) AS slots, array_agg(calls ORDER BY slot) AS counts
FROM (
    SELECT larger.bucket, generation, is_test, is_sample, provider, model, slot, sum(count)::bigint AS calls, max(max_ms) AS max_ms
    FROM unnest(CAST(:larger_buckets AS timestamptz[])) AS larger (bucket)
    JOIN token_tracker_latency_rollup AS source
      ON source.minutes = :source_minutes AND source.generation = :generation
     AND source.bucket >= larger.bucket AND source.bucket < larger.bucket + make_interval(mins => :minutes)
    CROSS JOIN unnest(slots, counts) AS histogram (slot, count)
    GROUP BY 1, 2, 3, 4, 5, 6, 7
) AS slots
GROUP BY bucket, generation, is_test, is_sample, provider, model;
