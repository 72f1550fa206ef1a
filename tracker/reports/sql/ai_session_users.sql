-- Which users does an AI session have, most calls first, and what are the totals of all of them?
-- In psql, first: \set session '\'<the session_id>\''
\ir defaults.sql
\if :{?session} \else \set session '\'\'' \endif
WITH users AS (
  SELECT user_id, count(*) AS calls, count(*) FILTER (WHERE success IS FALSE) AS failed_calls,
         coalesce(sum(:call_tokens), 0)::bigint AS total_tokens,
         sum(cost::numeric) FILTER (WHERE :has_cost) AS cost_usd,
         sum(cost::numeric * :call_rate) FILTER (WHERE :has_cost) AS cost_local,
         count(*) FILTER (WHERE :has_cost IS NOT TRUE) AS unpriced_calls,
         min(created_at) AS first_at, max(created_at) AS last_at
  FROM token_usage AS calls
  WHERE created_at >= :start AND created_at < :end
    AND :is_of_session
    AND :matches_filters
  GROUP BY user_id
)
SELECT user_id, calls AS user_calls, (count(*) OVER ())::bigint AS users, (sum(calls) OVER ())::bigint AS calls,
       (sum(failed_calls) OVER ())::bigint AS failed_calls, (sum(total_tokens) OVER ())::bigint AS total_tokens,
       sum(cost_usd) OVER () AS cost_usd, sum(cost_local) OVER () AS cost_local, (sum(unpriced_calls) OVER ())::bigint AS unpriced_calls,
       min(first_at) OVER () AS first_at, max(last_at) OVER () AS last_at
FROM users
ORDER BY user_calls DESC, user_id
LIMIT :count;
