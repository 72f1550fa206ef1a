-- Which error messages do the failed calls have, by model and operation, newest first?
-- The last column counts all failed calls, with those beyond the limit.
\ir defaults.sql
SELECT left(error_message, 500) AS message, model, operation, count(*)::bigint AS calls,
       min(created_at) AS first_at, max(created_at) AS last_at,
       (array_agg(id::text ORDER BY created_at DESC))[1] AS last_id,
       (sum(count(*)) OVER ())::bigint AS all_calls
FROM token_usage AS calls
WHERE created_at >= :start AND created_at < :end
  AND :matches_filters
  AND success IS FALSE
GROUP BY 1, 2, 3
ORDER BY last_at DESC, 2, 3
LIMIT :count;
