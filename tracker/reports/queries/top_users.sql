-- Who used most, and how did each one's use develop?
\ir defaults.sql
WITH spans AS (
    SELECT coalesce(user_id, 'unknown') AS user_id,
           date_trunc(:bucket, created_at, :timezone) AS bucket,
           count(*) AS calls,
           sum(total_tokens)::bigint AS total_tokens,
           sum(cost)::numeric AS cost_usd,
           count(*) FILTER (WHERE cost IS NULL) AS unpriced_calls
    FROM token_usage AS calls
    WHERE created_at >= :start AND created_at < :end
      AND (:include_tests OR is_test IS NOT TRUE)
      AND (:model IS NULL OR model = :model)
      AND (:provider IS NULL OR provider = :provider)
      AND (:operation IS NULL OR operation = :operation)
      AND (:user IS NULL OR user_id = :user)
      AND (:environment IS NULL OR environment = :environment)
    GROUP BY 1, 2
)
SELECT user_id,
       sum(calls)::bigint AS calls,
       sum(total_tokens)::bigint AS total_tokens,
       sum(cost_usd)::float8 AS cost_usd,
       sum(unpriced_calls)::bigint AS unpriced_calls,
       jsonb_object_agg(extract(epoch FROM bucket)::bigint, total_tokens) AS tokens_by_bucket
FROM spans
GROUP BY 1
ORDER BY total_tokens DESC NULLS LAST, user_id
LIMIT :count;
