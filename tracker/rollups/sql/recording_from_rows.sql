-- What are the recording totals of these 15-minute buckets by environment?
-- Imported rows have no `delivery` and are not counted. Bin -32767 means: no connection time.
\ir defaults.sql
SELECT 15 AS minutes, bucket, 0 AS generation, is_test, is_sample, environment,
       sum(records)::bigint AS records, sum(retried_records)::bigint AS retried_records,
       sum(retries)::bigint AS retries, sum(late_records)::bigint AS late_records,
       max(worst_lag_s) AS worst_lag_s, max(connection_max_ms) AS connection_max_ms,
       array_agg(slot ORDER BY slot) AS slots, array_agg(records ORDER BY slot) AS counts
FROM (
    SELECT dirty.bucket, is_test IS TRUE AS is_test, :call_is_sample AS is_sample, environment,
           :connection_bin AS slot,
           count(*) AS records, count(*) FILTER (WHERE retry_count > 0) AS retried_records,
           coalesce(sum(retry_count), 0)::bigint AS retries,
           count(*) FILTER (WHERE recorded_at - created_at > make_interval(secs => :late_s)) AS late_records,
           max(extract(epoch FROM recorded_at - created_at))::float8 AS worst_lag_s,
           max(connection_ms::float8) AS connection_max_ms
    FROM :bucket_calls
    WHERE delivery IS NOT NULL
    GROUP BY 1, 2, 3, 4, 5
) AS slots
GROUP BY bucket, is_test, is_sample, environment;
