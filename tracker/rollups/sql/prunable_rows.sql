-- How many rows are older than `until`, and when are the first and the last of them?
\if :{?until} \else \set until 'now() - interval \'90 days\'' \endif
SELECT count(*) AS calls, min(created_at) AS first_at, max(created_at) AS last_at
FROM token_usage AS calls
WHERE created_at < :until AND created_at >= '0001-01-02 00:00Z';
