-- What are the usage totals of these hours or days by the values of the indexed properties, from the next smaller buckets?
\ir defaults.sql
WITH grouped AS (
    SELECT larger.bucket, generation, is_test, is_sample, property, is_overflow, value, provider, model,
           sum(calls) AS calls, sum(calls_once) AS calls_once, sum(failed_calls) AS failed_calls,
           sum(input_tokens) AS input_tokens, sum(output_tokens) AS output_tokens, sum(total_tokens) AS total_tokens,
           sum(cache_read_input_tokens) AS cache_read_input_tokens,
           sum(cache_write_input_tokens) AS cache_write_input_tokens,
           sum(reasoning_output_tokens) AS reasoning_output_tokens,
           sum(cost) AS cost, sum(unpriced_calls) AS unpriced_calls, sum(unpriced_tokens) AS unpriced_tokens,
           sum(sample_calls) AS sample_calls
    FROM unnest(CAST(:larger_buckets AS timestamptz[])) AS larger (bucket)
    JOIN token_tracker_property_rollup AS source
      ON source.property = ANY (CAST(:properties AS text[]))
     AND source.minutes = :source_minutes AND source.generation = :generation
     AND source.bucket >= larger.bucket AND source.bucket < larger.bucket + make_interval(mins => :minutes)
    GROUP BY larger.bucket, generation, is_test, is_sample, property, is_overflow, value, provider, model
), sizes AS (
    SELECT bucket, generation, property, bool_or(is_overflow) OR :has_too_many_values AS is_marked
    FROM grouped
    GROUP BY bucket, generation, property
)
SELECT CAST(:minutes AS smallint) AS minutes, bucket, generation, is_test, is_sample, property, is_marked AS is_overflow,
       CASE WHEN NOT is_marked THEN value END AS value, provider, model, :property_totals
FROM grouped JOIN sizes USING (bucket, generation, property)
GROUP BY bucket, generation, is_test, is_sample, property, is_marked, 8, provider, model;
