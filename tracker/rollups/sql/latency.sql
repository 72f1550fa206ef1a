-- How long did the calls of these quarters of an hour take, by model, as a histogram of 8 slots an octave?
\ir defaults.sql
SELECT 15 AS minutes, bucket, 0 AS generation, is_test, provider, model,
       sum(calls)::bigint AS calls, max(max_ms) AS max_ms,
       array_agg(slot ORDER BY slot) AS slots, array_agg(calls ORDER BY slot) AS counts
FROM (
    SELECT touched.bucket, is_test IS TRUE AS is_test, provider, model,
           floor(8 / ln(2::float8) * ln(least(greatest(processing_time::float8, 0.001), 1e12)))::smallint AS slot,
           count(*) AS calls, max(processing_time::float8) AS max_ms
    FROM unnest(CAST(:buckets AS timestamptz[])) AS touched (bucket)
    -- Each bucket by itself (OFFSET keeps it so): joined by a range, the planner would read the whole table for each.
    CROSS JOIN LATERAL (
        SELECT * FROM token_usage AS calls
        WHERE created_at >= touched.bucket AND created_at < touched.bucket + interval '15 minutes'
        OFFSET 0
    ) AS calls
    WHERE processing_time IS NOT NULL
    GROUP BY 1, 2, 3, 4, 5
) AS slots
GROUP BY bucket, is_test, provider, model;
