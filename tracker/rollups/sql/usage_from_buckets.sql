-- What are the usage totals of these hours or days by model, operation and environment, from the next smaller buckets?
\ir defaults.sql
SELECT CAST(:minutes AS smallint) AS minutes, larger.bucket, generation, is_test, is_sample, provider, model, operation, environment,
       sum(calls)::bigint AS calls,
       sum(failed_calls)::bigint AS failed_calls,
       sum(input_tokens)::bigint AS input_tokens,
       sum(output_tokens)::bigint AS output_tokens,
       sum(total_tokens)::bigint AS total_tokens,
       sum(cache_read_input_tokens)::bigint AS cache_read_input_tokens,
       sum(cache_write_input_tokens)::bigint AS cache_write_input_tokens,
       sum(reasoning_output_tokens)::bigint AS reasoning_output_tokens,
       sum(cost) AS cost,
       sum(unpriced_calls)::bigint AS unpriced_calls,
       sum(unpriced_tokens)::bigint AS unpriced_tokens,
       sum(sample_calls)::bigint AS sample_calls
FROM unnest(CAST(:larger_buckets AS timestamptz[])) AS larger (bucket)
JOIN token_tracker_usage_rollup AS source
  ON source.minutes = :source_minutes AND source.generation = :generation
 AND source.bucket >= larger.bucket AND source.bucket < larger.bucket + make_interval(mins => :minutes)
GROUP BY larger.bucket, generation, is_test, is_sample, provider, model, operation, environment;
