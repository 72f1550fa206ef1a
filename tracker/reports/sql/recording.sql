-- What are the recording totals by environment (and by step if `by` contains `step`)?
-- Imported rows have no `delivery` and are not counted.
-- Connection time is a histogram: counts[n] records waited from 2^(slots[n]/8) to 2^((slots[n]+1)/8) ms.
\ir defaults.sql
WITH used (step, environment, records, retried_records, retries, late_records, worst_lag_s, connection_max_ms,
           slots, counts) AS (
    -- From the rollups:
    SELECT segment.step, environment, records, retried_records, retries, late_records, worst_lag_s, connection_max_ms,
           slots, counts
    FROM :rollup_segments
    CROSS JOIN LATERAL (SELECT * FROM token_tracker_recording_rollup AS rollup WHERE :is_in_segment OFFSET 0) AS rollup
    WHERE :counts_in_rollup
      AND (:environment IS NULL OR environment = :environment)
    UNION ALL
    -- From the rows:
    SELECT segment.step, environment, count(*), count(*) FILTER (WHERE retry_count > 0),
           coalesce(sum(retry_count), 0)::bigint,
           count(*) FILTER (WHERE recorded_at - created_at > make_interval(secs => :late_s)),
           max(extract(epoch FROM recorded_at - created_at))::float8, max(connection_ms::float8),
           ARRAY[:connection_bin], ARRAY[count(*)]
    FROM :segment_calls
    WHERE :matches_filters
      AND delivery IS NOT NULL
    GROUP BY 1, 2, :connection_bin
    UNION ALL
    SELECT :call_step, environment, count(*), count(*) FILTER (WHERE retry_count > 0),
           coalesce(sum(retry_count), 0)::bigint,
           count(*) FILTER (WHERE recorded_at - created_at > make_interval(secs => :late_s)),
           max(extract(epoch FROM recorded_at - created_at))::float8, max(connection_ms::float8),
           ARRAY[:connection_bin], ARRAY[count(*)]
    FROM token_usage AS calls
    WHERE created_at >= :rows_start AND created_at < :rows_until
      AND :matches_filters
      AND delivery IS NOT NULL
    GROUP BY 1, 2, :connection_bin
), grouped AS (
    SELECT CASE WHEN 'step' = ANY (CAST(:by AS text[])) THEN step END AS group_step, used.* FROM used
), histogram AS (
    SELECT group_step, environment, array_agg(slot ORDER BY slot) AS slots, array_agg(count ORDER BY slot) AS counts
    FROM (
        SELECT group_step, environment, slot, sum(count)::bigint AS count
        FROM grouped CROSS JOIN unnest(slots, counts) AS histogram (slot, count)
        WHERE slot > -32767
        GROUP BY 1, 2, 3
    ) AS slots
    GROUP BY 1, 2
)
-- UNION ALL and GROUP BY instead of a join: a join on columns that can be NULL compares all pairs of rows.
SELECT group_step AS step, environment, sum(records)::bigint AS records,
       sum(retried_records)::bigint AS retried_records, sum(retries)::bigint AS retries,
       sum(late_records)::bigint AS late_records, max(worst_lag_s) AS worst_lag_s,
       max(connection_max_ms) AS connection_max_ms, max(slots) AS slots, max(counts) AS counts
FROM (
    SELECT group_step, environment, records, retried_records, retries, late_records, worst_lag_s, connection_max_ms,
           CAST(NULL AS smallint[]) AS slots, CAST(NULL AS bigint[]) AS counts
    FROM grouped
    UNION ALL
    SELECT group_step, environment, 0, 0, 0, 0, NULL, NULL, slots, counts
    FROM histogram
) AS both_parts
GROUP BY 1, 2
ORDER BY 1, records DESC, 2;
