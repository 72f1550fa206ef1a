-- Which calls of these hours or days have no cost or inconsistent usage, and why, from the next smaller buckets?
\ir defaults.sql
SELECT CAST(:minutes AS smallint) AS minutes, larger.bucket, generation, is_test, is_sample, provider, model, operation, environment,
       usage_problem, usage_source, reason,
       sum(calls)::bigint AS calls,
       sum(total_tokens)::bigint AS total_tokens,
       sum(unpriced_calls)::bigint AS unpriced_calls,
       sum(unpriced_tokens)::bigint AS unpriced_tokens
FROM unnest(CAST(:larger_buckets AS timestamptz[])) AS larger (bucket)
JOIN token_tracker_unpriced_rollup AS source
  ON source.minutes = :source_minutes AND source.generation = :generation
 AND source.bucket >= larger.bucket AND source.bucket < larger.bucket + make_interval(mins => :minutes)
GROUP BY larger.bucket, generation, is_test, is_sample, provider, model, operation, environment, usage_problem, usage_source, reason;
