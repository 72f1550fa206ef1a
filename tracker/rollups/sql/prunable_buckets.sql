-- Which 15-minute buckets does the next batch prune, and how many rows do they have? (Oldest first; seconds of the epoch.)
\if :{?since} \else \set since '\'-infinity\'' \endif
\if :{?until} \else \set until 'now() - interval \'90 days\'' \endif
\if :{?rows} \else \set rows 5000 \endif
SELECT extract(epoch FROM bucket)::bigint AS bucket, count(*) AS calls
FROM (
    SELECT date_bin('15 minutes', created_at, 'epoch') AS bucket
    FROM token_usage AS calls
    WHERE created_at >= :since AND created_at < :until AND created_at >= '0001-01-02 00:00Z'
    ORDER BY created_at
    LIMIT :rows
) AS oldest
GROUP BY 1
ORDER BY 1;
