-- Which recording processes were at work, how many of their numbers have a row, and where do numbers lack one?
-- A day on either side belongs to it, since a call's number and its time needn't be in the same order. The numbers
-- before a process's first row count only when that row lies well inside: else they may just be older.
\ir defaults.sql
WITH numbered AS (
    SELECT instance_id, sequence, recorded_at, created_at, environment, platform, deployment,
           lag(sequence) OVER (PARTITION BY instance_id ORDER BY sequence) AS before
    FROM token_usage AS calls
    WHERE created_at >= CAST(:start AS timestamptz) - interval '1 day'
      AND created_at < CAST(:end AS timestamptz) + interval '1 day'
      AND instance_id IS NOT NULL AND sequence IS NOT NULL
)
SELECT instance_id::text,
       max(environment) AS environment,
       max(platform) AS platform,
       max(deployment) AS deployment,
       count(DISTINCT sequence) AS recorded,
       max(sequence) AS last_sequence,
       max(recorded_at) AS last_at,
       coalesce(json_agg(json_build_array(coalesce(before, 0) + 1, sequence - 1,
                                          extract(epoch FROM now() - recorded_at)))
                FILTER (WHERE sequence > coalesce(before, 0) + 1
                          AND (before IS NOT NULL OR created_at >= CAST(:start AS timestamptz))), '[]') AS gaps
FROM numbered
GROUP BY instance_id
HAVING max(created_at) >= CAST(:start AS timestamptz) AND min(created_at) < CAST(:end AS timestamptz)
ORDER BY last_at DESC;
