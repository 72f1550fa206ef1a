-- Which numbers of these processes have a row outside of the range?
\ir defaults.sql
\set instances '''{}'''
SELECT instance_id::text, sequence
FROM token_usage AS calls
WHERE instance_id = ANY (CAST(:instances AS uuid[])) AND sequence IS NOT NULL
  AND NOT (created_at >= CAST(:start AS timestamptz) - interval '1 day'
           AND created_at < CAST(:end AS timestamptz) + interval '1 day');
