-- Which 15-minute buckets are marked as dirty? (The newest ones, in seconds of the epoch.)
\if :{?limit} \else \set limit 97 \endif
SELECT DISTINCT extract(epoch FROM bucket)::bigint AS bucket
FROM token_tracker_rollup_touched AS touched
WHERE bucket >= (SELECT covered_from FROM token_tracker_rollup_state)
ORDER BY bucket DESC
LIMIT :limit;
