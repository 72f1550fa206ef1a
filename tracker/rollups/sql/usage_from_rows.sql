-- What are the usage totals of these 15-minute buckets by model, operation and environment?
\ir defaults.sql
SELECT 15 AS minutes, dirty.bucket, 0 AS generation, is_test IS TRUE AS is_test, :call_is_sample AS is_sample, provider, model, operation, environment,
       count(*) AS calls,
       count(*) FILTER (WHERE success IS FALSE) AS failed_calls,
       coalesce(sum(input_tokens), 0)::bigint AS input_tokens,
       coalesce(sum(output_tokens), 0)::bigint AS output_tokens,
       -- An application that inserts its own rows can omit the total.
       coalesce(sum(:call_tokens), 0)::bigint AS total_tokens,
       coalesce(sum(cache_read_input_tokens), 0)::bigint AS cache_read_input_tokens,
       coalesce(sum(cache_write_input_tokens), 0)::bigint AS cache_write_input_tokens,
       coalesce(sum(reasoning_output_tokens), 0)::bigint AS reasoning_output_tokens,
       sum(cost::numeric) FILTER (WHERE :has_cost) AS cost,
       count(*) FILTER (WHERE :has_cost IS NOT TRUE) AS unpriced_calls,
       coalesce(sum(:call_tokens)
           FILTER (WHERE :has_cost IS NOT TRUE), 0)::bigint AS unpriced_tokens,
       count(*) FILTER (WHERE :call_is_sample) AS sample_calls
FROM :bucket_calls
GROUP BY dirty.bucket, is_test IS TRUE, 5, provider, model, operation, environment;
