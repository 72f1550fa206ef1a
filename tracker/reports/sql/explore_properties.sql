-- What are all measures by one or two properties, or by a property and a column?
-- A call counts under each value of a list. In psql, first: \set row_key '\'team\''  \set columns_by '\'model\''
\ir defaults.sql
\if :{?rows_by} \else \set rows_by '\'\'' \endif
\if :{?columns_by} \else \set columns_by '\'\'' \endif
\if :{?row_key} \else \set row_key '\'plan\'' \endif
\if :{?column_key} \else \set column_key NULL \endif
\if :{?group_count} \else \set group_count 20000 \endif
WITH grouped AS (
    SELECT :row_item AS row_item, :column_item AS column_item, :explore_sums
    FROM token_usage AS calls
    WHERE created_at >= :start AND created_at < :end
      AND :matches_filters
    GROUP BY 1, 2
), listed AS MATERIALIZED (
    SELECT :row_names AS row_names, :column_names AS column_names, grouped.*
    FROM grouped
)
SELECT row_name, column_name,
       sum(calls)::bigint AS calls,
       sum(failed_calls)::bigint AS failed_calls,
       sum(total_tokens)::bigint AS total_tokens,
       sum(input_tokens)::bigint AS input_tokens,
       sum(output_tokens)::bigint AS output_tokens,
       sum(cache_read_input_tokens)::bigint AS cache_read_input_tokens,
       sum(reasoning_output_tokens)::bigint AS reasoning_output_tokens,
       sum(cost_usd) AS cost_usd,
       sum(cost_local) AS cost_local,
       sum(unpriced_calls)::bigint AS unpriced_calls,
       bool_or(is_repeated) AS overlaps
FROM :named_groups
GROUP BY 1, 2
ORDER BY total_tokens DESC NULLS LAST, row_name COLLATE "C", column_name COLLATE "C"
LIMIT :group_count;
