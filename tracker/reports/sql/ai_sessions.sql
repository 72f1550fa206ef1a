-- Which AI sessions (calls with the same session_id) does the range have, largest first by :sort, after a position?
-- The first columns are of the range: its sessions, and its calls without a session.
\ir defaults.sql
\if :{?sort} \else \set sort '\'cost_usd\'' \endif
\if :{?after_value} \else \set after_value NULL \endif
\if :{?after_session} \else \set after_session NULL \endif
WITH sessions AS (
  SELECT nullif(session_id::text, '') COLLATE "C" AS session_id, count(*) AS calls,
         count(*) FILTER (WHERE success IS FALSE) AS failed_calls,
         coalesce(sum(:call_tokens), 0)::bigint AS total_tokens,
         sum(cost::numeric) FILTER (WHERE :has_cost) AS cost_usd,
         sum(cost::numeric * :call_rate) FILTER (WHERE :has_cost) AS cost_local,
         count(*) FILTER (WHERE :has_cost IS NOT TRUE) AS unpriced_calls,
         min(created_at) AS first_at, max(created_at) AS last_at,
         min(user_id) AS user_id, min(user_id) IS DISTINCT FROM max(user_id) AS has_several_users
  FROM token_usage AS calls
  WHERE created_at >= :start AND created_at < :end
    AND :matches_filters
  GROUP BY 1
), ranked AS (
  SELECT *,
         -- A session without a price is the last one.
         CASE CAST(:sort AS text) WHEN 'cost_usd' THEN coalesce(cost_usd, -1e12) WHEN 'total_tokens' THEN total_tokens
              WHEN 'calls' THEN calls WHEN 'duration_s' THEN extract(epoch FROM last_at - first_at)::numeric
              ELSE extract(epoch FROM last_at)::numeric END AS sort_value
  FROM sessions
  WHERE session_id IS NOT NULL
), summary AS (
  SELECT count(session_id) AS all_sessions,
         coalesce(sum(calls) FILTER (WHERE session_id IS NULL), 0)::bigint AS calls_without_session
  FROM sessions
)
SELECT all_sessions, calls_without_session, page.*
FROM summary
LEFT JOIN (
  SELECT session_id, calls, failed_calls, total_tokens, cost_usd, cost_local, unpriced_calls, first_at, last_at, user_id,
         has_several_users, sort_value
  FROM ranked
  WHERE CAST(:after_session AS text) IS NULL
     OR (sort_value, session_id) < (CAST(:after_value AS numeric), CAST(:after_session AS text) COLLATE "C")
  ORDER BY sort_value DESC, session_id DESC
  LIMIT :count
) AS page ON true
ORDER BY sort_value DESC, session_id DESC;
