-- Which processes recorded in the range, how many of their numbers have a row, and which numbers have none?
-- Also reads one day before and after the range, since numbers and times can be in different order. Numbers before the
-- first row of a process count only if that row is within the range: else their rows can be older. Sample rows are ignored.
\ir defaults.sql
WITH numbered AS (
    SELECT instance_id, sequence, recorded_at, created_at, environment, platform, deployment,
           is_test IS TRUE AS is_test,
           created_at >= CAST(:start AS timestamptz) AND created_at < CAST(:end AS timestamptz) AS is_in_range,
           lag(sequence) OVER (PARTITION BY instance_id ORDER BY sequence) AS before
    FROM token_usage AS calls
    WHERE created_at >= CAST(:start AS timestamptz) - interval '1 day'
      AND created_at < CAST(:end AS timestamptz) + interval '1 day'
      AND instance_id IS NOT NULL AND sequence IS NOT NULL AND NOT :call_is_sample
)
SELECT instance_id::text,
       max(environment) AS environment,
       max(platform) AS platform,
       max(deployment) AS deployment,
       count(DISTINCT sequence) FILTER (WHERE is_in_range) AS recorded,
       count(DISTINCT sequence) FILTER (WHERE is_in_range AND is_test) AS tests,
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
