-- Which alerts did recording raise in the last day?
-- Sample alerts are excluded.
\ir ../../rollups/sql/expressions.sql
SELECT reason, max(raised_at) AS last_at, (count(*) + sum(held_back))::int AS alerts,
       (array_agg(error ORDER BY raised_at DESC))[1] AS error
FROM token_tracker_alerts
WHERE raised_at >= now() - interval '24 hours' AND NOT :id_is_sample
GROUP BY reason
ORDER BY last_at DESC
LIMIT 10;
