-- What are the latency histograms (8 bins per octave) of these 15-minute buckets by model?
\ir defaults.sql
SELECT 15 AS minutes, bucket, 0 AS generation, is_test, provider, model,
       sum(calls)::bigint AS calls, max(max_ms) AS max_ms,
       array_agg(slot ORDER BY slot) AS slots, array_agg(calls ORDER BY slot) AS counts
FROM (
    SELECT dirty.bucket, is_test IS TRUE AS is_test, provider, model,
           :duration_bin AS slot,
           count(*) AS calls, max(processing_time::float8) AS max_ms
    FROM unnest(CAST(:buckets AS timestamptz[])) AS dirty (bucket)
    -- OFFSET 0 keeps the subquery per bucket. For a range join, the planner reads the whole table for each bucket.
    CROSS JOIN LATERAL (
        SELECT * FROM token_usage AS calls
        WHERE created_at >= dirty.bucket AND created_at < dirty.bucket + interval '15 minutes'
        OFFSET 0
    ) AS calls
    WHERE processing_time IS NOT NULL
    GROUP BY 1, 2, 3, 4, 5
) AS slots
GROUP BY bucket, is_test, provider, model;
