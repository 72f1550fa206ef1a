-- Which days (UTC) have rows or rollup rows of generation 0? (Seconds of the epoch, newest first.)
\if :{?since} \else \set since '\'-infinity\'' \endif
SELECT DISTINCT extract(epoch FROM date_trunc('day', bucket, 'UTC'))::bigint AS day
FROM (
    SELECT created_at AS bucket
    FROM token_usage AS calls
    WHERE created_at >= '0001-01-02 00:00Z' AND created_at < '9999-12-30 00:00Z'
    UNION ALL
    SELECT bucket FROM token_tracker_usage_rollup AS usage WHERE generation = 0
    UNION ALL
    SELECT bucket FROM token_tracker_latency_rollup AS latency WHERE generation = 0
    UNION ALL
    SELECT bucket FROM token_tracker_recording_rollup AS recording WHERE generation = 0
    UNION ALL
    SELECT bucket FROM token_tracker_property_rollup AS property WHERE generation = 0
    UNION ALL
    SELECT day FROM token_tracker_user_rollup AS users WHERE generation = 0
    UNION ALL
    SELECT day FROM token_tracker_user_day_rollup AS user_days WHERE generation = 0
) AS buckets
WHERE bucket >= :since
ORDER BY day DESC;
