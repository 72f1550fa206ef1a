-- Which 15-minute buckets have calls? (Starts in seconds of the epoch; only the years that Python supports.)
\if :{?since} \else \set since '\'-infinity\'' \endif
\if :{?until} \else \set until '\'infinity\'' \endif
SELECT DISTINCT extract(epoch FROM date_bin('15 minutes', created_at, 'epoch'))::bigint AS bucket
FROM token_usage AS calls
WHERE created_at >= :since AND created_at < :until
  AND created_at >= '0001-01-02 00:00Z' AND created_at < '9999-12-30 00:00Z';
