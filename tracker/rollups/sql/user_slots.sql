-- What are the usage totals of each user in these 15-minute buckets? (slot: position of the bucket in its day)
\ir defaults.sql
SELECT date_trunc('day', dirty.bucket, 'UTC') AS day,
       (extract(epoch FROM dirty.bucket - date_trunc('day', dirty.bucket, 'UTC')) / 900)::smallint AS slot,
       is_test IS TRUE AS is_test, :call_is_sample AS is_sample, user_id,
       count(*) AS calls,
       coalesce(sum(:call_tokens), 0)::bigint AS total_tokens,
       sum(cost::numeric) FILTER (WHERE :has_cost) AS cost,
       count(*) FILTER (WHERE :has_cost IS NOT TRUE) AS unpriced_calls
FROM :bucket_calls
GROUP BY dirty.bucket, is_test IS TRUE, 4, user_id;
