-- What are the usage totals of these 15-minute buckets by the values of the indexed properties, provider and model?
-- A bucket with too many or too long values has a mark (is_overflow) without values: reports read it from the rows.
\ir defaults.sql
WITH grouped AS (
    SELECT dirty.bucket, 0 AS generation, is_test IS TRUE AS is_test, :call_is_sample AS is_sample,
           property.key AS property, false AS is_overflow, value, provider, model,
           count(*) AS calls,
           -- A call with several values counts in the row of the first one.
           count(*) FILTER (WHERE CASE WHEN cardinality(texts) > 1
                                       THEN value = (SELECT min(text COLLATE "C") FROM unnest(texts) AS text)
                                       ELSE true END) AS calls_once,
           count(*) FILTER (WHERE success IS FALSE) AS failed_calls,
           coalesce(sum(input_tokens), 0)::bigint AS input_tokens,
           coalesce(sum(output_tokens), 0)::bigint AS output_tokens,
           coalesce(sum(:call_tokens), 0)::bigint AS total_tokens,
           coalesce(sum(cache_read_input_tokens), 0)::bigint AS cache_read_input_tokens,
           coalesce(sum(cache_write_input_tokens), 0)::bigint AS cache_write_input_tokens,
           coalesce(sum(reasoning_output_tokens), 0)::bigint AS reasoning_output_tokens,
           sum(cost::numeric) FILTER (WHERE :has_cost) AS cost,
           count(*) FILTER (WHERE :has_cost IS NOT TRUE) AS unpriced_calls,
           coalesce(sum(:call_tokens) FILTER (WHERE :has_cost IS NOT TRUE), 0)::bigint AS unpriced_tokens,
           count(*) FILTER (WHERE :call_is_sample) AS sample_calls
    FROM :bucket_calls
    CROSS JOIN unnest(CAST(:properties AS text[])) AS property (key)
    CROSS JOIN LATERAL (SELECT :property_texts AS texts OFFSET 0) AS list
    LEFT JOIN LATERAL unnest(texts) AS part (value) ON true
    GROUP BY dirty.bucket, is_test IS TRUE, 4, property.key, value, provider, model
), sizes AS (
    SELECT bucket, generation, property, :has_too_many_values AS is_marked
    FROM grouped
    GROUP BY bucket, generation, property
)
SELECT 15 AS minutes, bucket, generation, is_test, is_sample, property, is_marked AS is_overflow,
       CASE WHEN NOT is_marked THEN value END AS value, provider, model, :property_totals
FROM grouped JOIN sizes USING (bucket, generation, property)
GROUP BY bucket, generation, is_test, is_sample, property, is_marked, 8, provider, model;
