-- When was the first call of each deployment in these 15-minute buckets?
\ir defaults.sql
SELECT :deployment_name AS deployment, :deployment_environment AS environment, min(created_at) AS first_at
FROM :bucket_calls
WHERE :is_of_deployment
GROUP BY 1, 2;
