-- What did each user use in each of these quarters of an hour?
\ir defaults.sql
SELECT date_trunc('day', touched.bucket, 'UTC') AS day,
       (extract(epoch FROM touched.bucket - date_trunc('day', touched.bucket, 'UTC')) / 900)::smallint AS slot,
       is_test IS TRUE AS is_test, user_id,
       count(*) AS calls,
       coalesce(sum(coalesce(total_tokens, input_tokens::bigint + output_tokens)), 0)::bigint AS total_tokens,
       sum(cost::numeric) FILTER (WHERE abs(cost::numeric) <= 1e9) AS cost,
       count(*) FILTER (WHERE abs(cost::numeric) <= 1e9 IS NOT TRUE) AS unpriced_calls
FROM unnest(CAST(:buckets AS timestamptz[])) AS touched (bucket)
-- Each bucket by itself (OFFSET keeps it so): joined by a range, the planner would read the whole table for each.
CROSS JOIN LATERAL (
    SELECT * FROM token_usage AS calls
    WHERE created_at >= touched.bucket AND created_at < touched.bucket + interval '15 minutes'
    OFFSET 0
) AS calls
GROUP BY touched.bucket, is_test IS TRUE, user_id;
