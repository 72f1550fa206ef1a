-- What are all measures by one or two columns?
-- In psql, first: \set rows_by '\'model\''  \set columns_by '\'user\''
\ir defaults.sql
\if :{?rows_by} \else \set rows_by '\'model\'' \endif
\if :{?columns_by} \else \set columns_by '\'\'' \endif
\if :{?group_count} \else \set group_count 20000 \endif
SELECT :row_value AS row_name,
       :column_value AS column_name,
       :explore_sums
FROM token_usage AS calls
WHERE created_at >= :start AND created_at < :end
  AND :matches_filters
GROUP BY 1, 2
ORDER BY total_tokens DESC NULLS LAST
LIMIT :group_count;
