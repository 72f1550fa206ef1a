-- Which model used how much, when?
\ir defaults.sql
SELECT date_trunc(:bucket, created_at, :timezone) AS bucket,
       coalesce(model, 'unknown') AS model,
       count(*) AS calls,
       sum(total_tokens)::bigint AS total_tokens,
       sum(input_tokens)::bigint AS input_tokens,
       sum(output_tokens)::bigint AS output_tokens,
       sum(cache_read_input_tokens)::bigint AS cache_read_input_tokens,
       sum(reasoning_output_tokens)::bigint AS reasoning_output_tokens,
       sum(cost)::float8 AS cost_usd,
       count(*) FILTER (WHERE cost IS NULL) AS unpriced_calls,
       coalesce(sum(total_tokens) FILTER (WHERE cost IS NULL), 0)::bigint AS unpriced_tokens
FROM token_usage AS calls
WHERE created_at >= :start AND created_at < :end
  AND (:include_tests OR is_test IS NOT TRUE)
  AND (:model IS NULL OR model = :model)
  AND (:provider IS NULL OR provider = :provider)
  AND (:operation IS NULL OR operation = :operation)
  AND (:user IS NULL OR user_id = :user)
  AND (:environment IS NULL OR environment = :environment)
GROUP BY 1, 2
ORDER BY 1, 2;
