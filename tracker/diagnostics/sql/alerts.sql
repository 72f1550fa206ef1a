-- Which alerts did recording raise in the last day?
SELECT reason, max(raised_at) AS last_at, (count(*) + sum(held_back))::int AS alerts,
       (array_agg(error ORDER BY raised_at DESC))[1] AS error
FROM token_tracker_alerts
WHERE raised_at >= now() - interval '24 hours'
GROUP BY reason
ORDER BY last_at DESC
LIMIT 10;
