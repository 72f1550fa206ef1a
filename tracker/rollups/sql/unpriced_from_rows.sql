-- Which calls of these 15-minute buckets have no cost or inconsistent usage, and why?
\ir defaults.sql
SELECT 15 AS minutes, dirty.bucket, 0 AS generation, is_test IS TRUE AS is_test, :call_is_sample AS is_sample,
       provider, model, operation, environment,
       left(metadata ->> 'usage_problem', 200) AS usage_problem,
       CASE WHEN metadata ->> 'usage_problem' IS NOT NULL THEN left(metadata ->> 'usage_source', 60) END AS usage_source,
       CASE WHEN :has_cost IS NOT TRUE THEN substring(cost_source FROM '^unpriced (.{1,80})') END AS reason,
       count(*) AS calls,
       coalesce(sum(:call_tokens), 0)::bigint AS total_tokens,
       count(*) FILTER (WHERE :has_cost IS NOT TRUE) AS unpriced_calls,
       coalesce(sum(:call_tokens)
           FILTER (WHERE :has_cost IS NOT TRUE), 0)::bigint AS unpriced_tokens
FROM unnest(CAST(:buckets AS timestamptz[])) AS dirty (bucket)
-- OFFSET 0 keeps the subquery per bucket. For a range join, the planner reads the whole table for each bucket.
CROSS JOIN LATERAL (
    SELECT * FROM token_usage AS calls
    WHERE created_at >= dirty.bucket AND created_at < dirty.bucket + interval '15 minutes'
      AND (:has_cost IS NOT TRUE OR metadata ->> 'usage_problem' IS NOT NULL)
    OFFSET 0
) AS calls
GROUP BY dirty.bucket, is_test IS TRUE, 5, provider, model, operation, environment, 10, 11, 12;
