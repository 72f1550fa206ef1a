-- Which recording alerts were sent, newest first?
\ir defaults.sql
SELECT raised_at, reason, error, record_id::text, attempts, outbox_depth, held_back, environment, platform, deployment,
       :id_is_sample AS is_sample
FROM token_tracker_alerts AS alerts
WHERE raised_at >= :start AND raised_at < :end
ORDER BY raised_at DESC
LIMIT 50;
