-- What are the usage totals of each user in these 15-minute buckets? (slot: position of the bucket in its day)
\ir defaults.sql
SELECT date_trunc('day', dirty.bucket, 'UTC') AS day,
       (extract(epoch FROM dirty.bucket - date_trunc('day', dirty.bucket, 'UTC')) / 900)::smallint AS slot,
       is_test IS TRUE AS is_test, user_id,
       count(*) AS calls,
       coalesce(sum(:call_tokens), 0)::bigint AS total_tokens,
       sum(cost::numeric) FILTER (WHERE :has_cost) AS cost,
       count(*) FILTER (WHERE :has_cost IS NOT TRUE) AS unpriced_calls
FROM unnest(CAST(:buckets AS timestamptz[])) AS dirty (bucket)
-- OFFSET 0 keeps the subquery per bucket. For a range join, the planner reads the whole table for each bucket.
CROSS JOIN LATERAL (
    SELECT * FROM token_usage AS calls
    WHERE created_at >= dirty.bucket AND created_at < dirty.bucket + interval '15 minutes'
    OFFSET 0
) AS calls
GROUP BY dirty.bucket, is_test IS TRUE, user_id;
