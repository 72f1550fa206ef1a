-- What are all measures by one or two properties, or by a property and a column?
-- A call counts under each value of a list. In psql, first: \set row_key '\'team\''  \set columns_by '\'model\''
\ir defaults.sql
\if :{?rows_by} \else \set rows_by '\'\'' \endif
\if :{?columns_by} \else \set columns_by '\'\'' \endif
\if :{?row_key} \else \set row_key '\'plan\'' \endif
\if :{?column_key} \else \set column_key NULL \endif
\if :{?group_count} \else \set group_count 20000 \endif
SELECT row_name, column_name,
       :explore_sums,
       bool_or(cardinality(row_names) > 1 OR cardinality(column_names) > 1) AS overlaps
FROM token_usage AS calls
CROSS JOIN LATERAL (SELECT :row_values AS row_names, :column_values AS column_names OFFSET 0) AS names
CROSS JOIN LATERAL unnest(row_names) AS row_part (row_name)
CROSS JOIN LATERAL unnest(column_names) AS column_part (column_name)
WHERE created_at >= :start AND created_at < :end
  AND :matches_filters
GROUP BY 1, 2
ORDER BY total_tokens DESC NULLS LAST, 1, 2
LIMIT :group_count;
