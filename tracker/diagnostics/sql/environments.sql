-- When is the newest call of each environment, within the last 30 days?
-- Test and sample calls are excluded.
\ir ../../rollups/sql/expressions.sql
SELECT coalesce(environment, 'unknown') AS environment, max(created_at) AS last_at, count(*)::int AS calls
FROM token_usage
WHERE created_at >= now() - interval '30 days' AND is_test IS NOT TRUE AND NOT :call_is_sample
GROUP BY 1
ORDER BY 2 DESC;
