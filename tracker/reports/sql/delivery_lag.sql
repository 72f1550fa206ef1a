-- What are the lag from call to insert, and the connection time of cold and warm processes, by environment?
-- Reads at most 20,000 records, so the cost is independent of the table's size. A process is cold for its first record.
\ir defaults.sql
WITH newest AS (
    SELECT coalesce(environment, 'unknown') AS environment,
           greatest(0, extract(epoch FROM recorded_at - created_at))::float8 AS lag_s,
           connection_ms::float8 AS connection_ms,
           sequence = 1 AS is_cold,
           delivery
    FROM token_usage AS calls
    WHERE created_at >= :start AND created_at < :end
      AND :matches_filters
      AND delivery IS NOT NULL
    ORDER BY created_at DESC
    LIMIT 20000
)
SELECT environment,
       count(*) AS records,
       percentile_cont(0.5) WITHIN GROUP (ORDER BY lag_s) AS lag_p50_s,
       percentile_cont(0.95) WITHIN GROUP (ORDER BY lag_s) AS lag_p95_s,
       percentile_cont(0.99) WITHIN GROUP (ORDER BY lag_s) AS lag_p99_s,
       count(*) FILTER (WHERE is_cold) AS cold_records,
       percentile_cont(0.5) WITHIN GROUP (ORDER BY connection_ms) FILTER (WHERE is_cold) AS cold_p50_ms,
       percentile_cont(0.5) WITHIN GROUP (ORDER BY connection_ms) FILTER (WHERE is_cold IS NOT TRUE) AS warm_p50_ms,
       count(*) FILTER (WHERE lag_s > 1 AND lag_s <= 10) AS within_10_s,
       count(*) FILTER (WHERE lag_s > 10 AND lag_s <= 60) AS within_1_min,
       count(*) FILTER (WHERE lag_s > 60 AND lag_s <= 600) AS within_10_min,
       count(*) FILTER (WHERE lag_s > 600 AND lag_s <= 3600) AS within_1_h,
       count(*) FILTER (WHERE lag_s > 3600) AS later,
       count(*) FILTER (WHERE delivery = 'direct') AS direct,
       count(*) FILTER (WHERE delivery = 'background') AS background,
       count(*) FILTER (WHERE delivery = 'outbox') AS outbox
FROM newest
GROUP BY environment
ORDER BY records DESC, environment;
