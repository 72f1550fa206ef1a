-- Which calls of the parts of these hours or days have no cost or inconsistent usage, and why?
\ir defaults.sql
SELECT CAST(:minutes AS smallint) AS minutes, whole.bucket, generation, is_test, provider, model, operation, environment,
       usage_problem, usage_source, reason,
       sum(calls)::bigint AS calls,
       sum(total_tokens)::bigint AS total_tokens,
       sum(unpriced_calls)::bigint AS unpriced_calls,
       sum(unpriced_tokens)::bigint AS unpriced_tokens
FROM unnest(CAST(:wholes AS timestamptz[])) AS whole (bucket)
JOIN token_tracker_unpriced_rollup AS part
  ON part.minutes = :part_minutes AND part.generation = :generation
 AND part.bucket >= whole.bucket AND part.bucket < whole.bucket + make_interval(mins => :minutes)
GROUP BY whole.bucket, generation, is_test, provider, model, operation, environment, usage_problem, usage_source, reason;
