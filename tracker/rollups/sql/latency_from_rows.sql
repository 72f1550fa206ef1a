-- What are the latency histograms (8 bins per octave) of these 15-minute buckets by model?
\ir defaults.sql
SELECT 15 AS minutes, bucket, 0 AS generation, is_test, is_sample, provider, model,
       sum(calls)::bigint AS calls, max(max_ms) AS max_ms,
       array_agg(slot ORDER BY slot) AS slots, array_agg(calls ORDER BY slot) AS counts
FROM (
    SELECT dirty.bucket, is_test IS TRUE AS is_test, :call_is_sample AS is_sample, provider, model,
           :duration_bin AS slot,
           count(*) AS calls, max(processing_time::float8) AS max_ms
    FROM :bucket_calls
    WHERE processing_time IS NOT NULL
    GROUP BY 1, 2, 3, 4, 5, 6
) AS slots
GROUP BY bucket, is_test, is_sample, provider, model;
