-- In which 15-minute buckets do the rows and the rollup differ in their number of calls? (Starts in seconds of the epoch.)
-- Finds rows that a search by recorded_at misses because the clock of the database was set back before their insert.
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
