-- How many numbers of the last day's recording processes have neither a row nor an explanation?
-- A gap counts once its later neighbour is older than the longest deadline; the ledger report says whose it is.
WITH numbered AS (
    SELECT instance_id, sequence, recorded_at,
           lag(sequence) OVER (PARTITION BY instance_id ORDER BY sequence) AS before
    FROM token_usage
    WHERE created_at >= now() - interval '2 days' AND instance_id IS NOT NULL AND sequence IS NOT NULL
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
), found AS (
    SELECT instance_id, range_agg(int4range(sequence, sequence, '[]')) AS numbers
    FROM token_usage
    WHERE instance_id IN (SELECT instance_id FROM gaps) AND sequence IS NOT NULL
    GROUP BY instance_id
)
SELECT coalesce(sum(upper(part) - lower(part)), 0)::bigint AS missing
FROM gaps
LEFT JOIN explained USING (instance_id)
LEFT JOIN found USING (instance_id)
CROSS JOIN LATERAL unnest(gaps.numbers - coalesce(explained.numbers, '{}') - coalesce(found.numbers, '{}')) AS part;
