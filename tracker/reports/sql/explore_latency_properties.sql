-- What are the latency histograms by one or two properties, or by a property and a column?
-- A call counts under each value of a list. In psql, first: \set row_key '\'team\''  \set columns_by '\'model\''
\ir defaults.sql
\if :{?rows_by} \else \set rows_by '\'\'' \endif
\if :{?columns_by} \else \set columns_by '\'\'' \endif
\if :{?row_key} \else \set row_key '\'plan\'' \endif
\if :{?column_key} \else \set column_key NULL \endif
\if :{?group_count} \else \set group_count 20000 \endif
WITH grouped AS (
    SELECT :row_item AS row_item, :column_item AS column_item, :duration_bin AS slot,
           count(*) AS calls, max(processing_time::float8) AS max_ms
    FROM token_usage AS calls
    WHERE created_at >= :start AND created_at < :end
      AND :matches_filters
      AND processing_time IS NOT NULL
    GROUP BY 1, 2, 3
), listed AS MATERIALIZED (
    SELECT :row_names AS row_names, :column_names AS column_names, slot, calls, max_ms
    FROM grouped
), slots AS (
    SELECT row_name, column_name, slot, sum(calls)::bigint AS calls, max(max_ms) AS max_ms
    FROM :named_groups
    GROUP BY 1, 2, 3
)
SELECT row_name, column_name, max(max_ms) AS max_ms,
       array_agg(slot ORDER BY slot) AS slots, array_agg(calls ORDER BY slot) AS counts
FROM slots
GROUP BY row_name, column_name
ORDER BY sum(calls) DESC, row_name COLLATE "C", column_name COLLATE "C"
LIMIT :group_count;
