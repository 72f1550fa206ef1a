-- What are the latency histograms by one or two columns?
-- In psql, first: \set rows_by '\'operation\''  \set columns_by '\'user\''
\ir defaults.sql
\if :{?rows_by} \else \set rows_by '\'operation\'' \endif
\if :{?columns_by} \else \set columns_by '\'\'' \endif
WITH slots AS (
    SELECT :row_value AS row_name, :column_value AS column_name, :duration_bin AS slot,
           count(*) AS calls, max(processing_time::float8) AS max_ms
    FROM token_usage AS calls
    WHERE created_at >= :start AND created_at < :end
      AND :matches_filters
      AND processing_time IS NOT NULL
    GROUP BY 1, 2, 3
)
SELECT row_name, column_name, max(max_ms) AS max_ms,
       array_agg(slot ORDER BY slot) AS slots, array_agg(calls ORDER BY slot) AS counts
FROM slots
GROUP BY row_name, column_name;
