-- In which quarters of an hour do the rows and the rollups differ in number? (Beginnings in seconds of the epoch.)
-- It finds rows that recorded_at doesn't lead to, since the database's clock was set back before they were recorded.
\if :{?since} \else \set since 'now() - interval \'1 hour\'' \endif
SELECT extract(epoch FROM bucket)::bigint AS bucket
FROM (
    SELECT date_bin('15 minutes', created_at, 'epoch') AS bucket, count(*) AS calls
    FROM token_usage AS calls
    WHERE created_at >= date_bin('15 minutes', CAST(:since AS timestamptz), 'epoch')
      AND created_at >= '0001-01-02 00:00Z' AND created_at < '9999-12-30 00:00Z'
    GROUP BY 1
) AS counted
LEFT JOIN (
    SELECT bucket, sum(calls) AS calls
    FROM token_tracker_usage_rollup AS usage
    WHERE minutes = 15 AND generation = 0
      AND bucket >= date_bin('15 minutes', CAST(:since AS timestamptz), 'epoch')
    GROUP BY bucket
) AS summed USING (bucket)
WHERE counted.calls IS DISTINCT FROM summed.calls
  AND bucket >= (SELECT covered_from FROM token_tracker_rollup_state);
