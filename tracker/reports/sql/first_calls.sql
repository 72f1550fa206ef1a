-- Which deployments had their first call between these times, the newest first?
-- Reads the table of first calls, and the rows of the 15-minute buckets that changed since the last refresh.
\ir defaults.sql
WITH changed AS MATERIALIZED (
    SELECT :deployment_name AS deployment, :deployment_environment AS environment, min(created_at) AS first_at
    FROM :segment_calls
    WHERE :is_of_deployment
    GROUP BY 1, 2
), found AS (
    SELECT deployment, environment, first_at
    FROM token_tracker_deployments AS known
    WHERE first_at >= :start AND first_at < :end
    UNION ALL
    SELECT deployment, environment, first_at
    FROM changed
    WHERE first_at >= :start AND first_at < :end AND NOT EXISTS (
        SELECT FROM token_tracker_deployments AS known
        WHERE known.deployment = changed.deployment AND known.environment = changed.environment
          AND known.first_at <= changed.first_at
    )
)
SELECT deployment, nullif(environment, '') AS environment, min(first_at) AS first_at, count(*) OVER () AS deployments
FROM found
WHERE :environment IS NULL OR environment = left(:environment, 200)
GROUP BY deployment, found.environment
ORDER BY first_at DESC, deployment
LIMIT :count;
