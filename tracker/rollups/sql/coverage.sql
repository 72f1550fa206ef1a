-- When are the first and the last call, and from when on do the rollups cover them? (Seconds of the epoch.)
SELECT extract(epoch FROM (SELECT min(created_at) FROM token_usage AS calls))::float8 AS first,
       extract(epoch FROM (SELECT max(created_at) FROM token_usage AS calls))::float8 AS last,
       extract(epoch FROM (SELECT covered_from FROM token_tracker_rollup_state))::float8 AS covered_from;
