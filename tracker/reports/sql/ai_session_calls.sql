-- Which calls does an AI session have, in order, with running sums: those after or before a position?
-- The sums begin with the first call of the range, whichever page is read.
-- In psql, first: \set session '\'<the session_id>\''
\ir defaults.sql
\if :{?session} \else \set session '\'\'' \endif
\if :{?after} \else \set after NULL \endif
\if :{?after_id} \else \set after_id NULL \endif
\if :{?before} \else \set before NULL \endif
\if :{?before_id} \else \set before_id NULL \endif
\if :{?from_end} \else \set from_end false \endif
WITH numbered AS MATERIALIZED (
  SELECT id, created_at, provider, model, operation, user_id, session_id, input_tokens, output_tokens, total_tokens,
         CASE WHEN :has_cost THEN cost::numeric END AS cost_usd, processing_time, success IS NOT FALSE AS success,
         error_message, environment, delivery, is_test IS TRUE AS is_test,
         (delivery IS NULL AND metadata ->> 'source' = 'otlp') IS TRUE AS is_span,
         row_number() OVER in_order AS number,
         coalesce(sum(:call_tokens) OVER in_order, 0)::bigint AS running_tokens,
         sum(CASE WHEN :has_cost THEN cost::numeric END) OVER in_order AS running_cost_usd,
         sum(CASE WHEN :has_cost THEN cost::numeric * :call_rate END) OVER in_order AS running_cost_local,
         count(*) FILTER (WHERE :has_cost IS NOT TRUE) OVER in_order AS running_unpriced_calls
  FROM token_usage AS calls
  WHERE created_at >= :start AND created_at < :end
    AND :is_of_session
    AND :matches_filters
  WINDOW in_order AS (ORDER BY created_at, id ROWS UNBOUNDED PRECEDING)
), page AS (
  SELECT *
  FROM numbered
  WHERE (CAST(:after AS timestamptz) IS NULL
         OR (created_at, id) > (CAST(:after AS timestamptz), CAST(:after_id AS uuid)))
    AND (CAST(:before AS timestamptz) IS NULL
         OR (created_at, id) < (CAST(:before AS timestamptz), CAST(:before_id AS uuid)))
  ORDER BY CASE WHEN :from_end THEN -number ELSE number END
  LIMIT :count
)
SELECT id::text AS id, created_at, provider, model, operation, user_id, session_id, input_tokens, output_tokens,
       total_tokens, cost_usd, processing_time, success, error_message, environment, delivery, is_test, is_span,
       number, running_tokens, running_cost_usd, running_cost_local, running_unpriced_calls
FROM page
ORDER BY number;
