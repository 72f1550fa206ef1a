-- What are all measures by one or two columns?
-- In psql, first: \set rows_by '\'model\''  \set columns_by '\'user\''
\ir defaults.sql
\if :{?rows_by} \else \set rows_by '\'model\'' \endif
\if :{?columns_by} \else \set columns_by '\'\'' \endif
SELECT :row_value AS row_name,
       :column_value AS column_name,
       count(*) AS calls,
       count(*) FILTER (WHERE success IS FALSE) AS failed_calls,
       sum(:call_tokens)::bigint AS total_tokens,
       sum(input_tokens)::bigint AS input_tokens,
       sum(output_tokens)::bigint AS output_tokens,
       sum(cache_read_input_tokens)::bigint AS cache_read_input_tokens,
       sum(reasoning_output_tokens)::bigint AS reasoning_output_tokens,
       sum(cost::numeric) FILTER (WHERE :has_cost)::float8 AS cost_usd,
       sum(cost::numeric * :call_rate) FILTER (WHERE :has_cost)::float8 AS cost_local,
       count(*) FILTER (WHERE :has_cost IS NOT TRUE) AS unpriced_calls
FROM token_usage AS calls
WHERE created_at >= :start AND created_at < :end
  AND :matches_filters
GROUP BY 1, 2
ORDER BY total_tokens DESC NULLS LAST
LIMIT 20000;
