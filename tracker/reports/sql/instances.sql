-- How many processes of each deployment recorded in the last 15 minutes?
-- Sample rows are excluded.
\ir ../../rollups/sql/expressions.sql
SELECT coalesce(platform, 'unknown') AS platform,
       coalesce(environment, 'unknown') AS environment,
       coalesce(deployment, 'unknown') AS deployment,
       count(DISTINCT instance_id) AS instances
FROM token_usage AS calls
WHERE created_at >= now() - interval '15 minutes' AND instance_id IS NOT NULL AND NOT :call_is_sample
GROUP BY 1, 2, 3
ORDER BY instances DESC;
