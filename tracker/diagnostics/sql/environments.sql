-- When is the newest call of each environment, within the last 30 days?
SELECT coalesce(environment, 'unknown') AS environment, max(created_at) AS last_at, count(*)::int AS calls
FROM token_usage
WHERE created_at >= now() - interval '30 days' AND is_test IS NOT TRUE
GROUP BY 1
ORDER BY 2 DESC;
