-- How many sequence numbers of the last day have neither a row nor a ledger entry?
-- A gap counts when the row after it is older than the longest deadline. The ledger report names the deployment. Sample
-- rows are ignored.
\ir ../../rollups/sql/expressions.sql
WITH numbered AS (
    SELECT instance_id, sequence, recorded_at,
           lag(sequence) OVER (PARTITION BY instance_id ORDER BY sequence) AS before
    FROM token_usage
    WHERE created_at >= now() - interval '2 days' AND instance_id IS NOT NULL AND sequence IS NOT NULL
      AND NOT :call_is_sample
), gaps AS (
    SELECT instance_id, range_agg(int4range(before, sequence, '()')) AS numbers
    FROM numbered
    WHERE sequence > before + 1
      AND recorded_at BETWEEN now() - interval '1 day' AND now() - interval '15 minutes'
    GROUP BY instance_id
), explained AS (
    SELECT instance_id, range_agg(int4range(first_sequence, last_sequence, '[]')) AS numbers
    FROM token_tracker_ledger
    WHERE kind <> 'closed' AND instance_id IN (SELECT instance_id FROM gaps)
    GROUP BY instance_id
), recorded AS (
    SELECT instance_id, range_agg(int4range(sequence, sequence, '[]')) AS numbers
    FROM token_usage
    WHERE instance_id IN (SELECT instance_id FROM gaps) AND sequence IS NOT NULL
    GROUP BY instance_id
)
SELECT coalesce(sum(upper(part) - lower(part)), 0)::bigint AS missing
FROM gaps
LEFT JOIN explained USING (instance_id)
LEFT JOIN recorded USING (instance_id)
CROSS JOIN LATERAL unnest(gaps.numbers - coalesce(explained.numbers, '{}') - coalesce(recorded.numbers, '{}')) AS part;
