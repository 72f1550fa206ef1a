-- What did we use in this range, and what did it cost?
\ir defaults.sql
SELECT count(*) AS calls,
       count(*) FILTER (WHERE success IS FALSE) AS failed_calls,
       count(DISTINCT user_id) AS users,
       coalesce(sum(total_tokens), 0)::bigint AS total_tokens,
       coalesce(sum(input_tokens), 0)::bigint AS input_tokens,
       coalesce(sum(output_tokens), 0)::bigint AS output_tokens,
       coalesce(sum(cache_read_input_tokens), 0)::bigint AS cache_read_input_tokens,
       sum(cost)::numeric AS cost_usd,
       count(*) FILTER (WHERE cost IS NULL) AS unpriced_calls,
       coalesce(sum(total_tokens) FILTER (WHERE cost IS NULL), 0)::bigint AS unpriced_tokens,
       count(*) FILTER (WHERE metadata ->> 'sample' = 'true') AS sample_calls
FROM token_usage AS calls
WHERE created_at >= :start AND created_at < :end
  AND (:include_tests OR is_test IS NOT TRUE)
  AND (:model IS NULL OR model = :model)
  AND (:provider IS NULL OR provider = :provider)
  AND (:operation IS NULL OR operation = :operation)
  AND (:user IS NULL OR user_id = :user)
  AND (:environment IS NULL OR environment = :environment);
