-- Which quarters of an hour are marked as touched? (The newest ones, in seconds of the epoch.)
\if :{?most} \else \set most 97 \endif
SELECT DISTINCT extract(epoch FROM bucket)::bigint AS bucket
FROM token_tracker_rollup_touched AS touched
WHERE bucket >= (SELECT covered_from FROM token_tracker_rollup_state)
ORDER BY bucket DESC
LIMIT :most;
