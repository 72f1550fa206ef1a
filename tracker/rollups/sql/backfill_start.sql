-- Where does the next backfill step start? (The day after `rows` rows backwards from `until`; no row: at the first call.)
\if :{?until} \else \set until '\'infinity\'' \endif
\if :{?rows} \else \set rows 50000 \endif
SELECT extract(epoch FROM date_trunc('day', created_at, 'UTC'))::bigint AS start
FROM token_usage AS calls
WHERE created_at < :until AND created_at >= '0001-01-02 00:00Z'
ORDER BY created_at DESC
OFFSET :rows
LIMIT 1;
