-- Which ledger entries explain the numbers of these processes that have no row?
\set instances '''{}'''
SELECT instance_id::text, kind, first_sequence, last_sequence,
       extract(epoch FROM now() - noted_at)::float8 AS age_s, environment, deployment
FROM token_tracker_ledger AS entries
WHERE instance_id = ANY (CAST(:instances AS uuid[]));
