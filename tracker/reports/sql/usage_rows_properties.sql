-- What is the usage by one or two properties and the columns in `by`, largest first?
-- A list counts once for each of its elements.
-- In psql, first: \set usage_key '\'team\''
\ir defaults.sql
\if :{?usage_key} \else \set usage_key '\'team\'' \endif
\if :{?other_key} \else \set other_key NULL \endif
SELECT :usage_columns, first_property, second_property,
       bool_or(cardinality(first_values) > 1 OR cardinality(second_values) > 1) AS overlaps, :usage_sums
FROM token_usage AS calls
CROSS JOIN LATERAL (
  SELECT coalesce(nullif(:property_texts, '{}'), ARRAY[NULL]) AS first_values
  FROM (VALUES (CAST(:usage_key AS text))) AS property (key)
) AS first_one
CROSS JOIN LATERAL (
  SELECT CASE WHEN property.key IS NULL THEN ARRAY[NULL]
              ELSE coalesce(nullif(:property_texts, '{}'), ARRAY[NULL]) END AS second_values
  FROM (VALUES (CAST(:other_key AS text))) AS property (key)
) AS second_one
CROSS JOIN LATERAL unnest(first_values) AS first_value (first_property)
CROSS JOIN LATERAL unnest(second_values) AS second_value (second_property)
WHERE created_at >= :start AND created_at < :end
  AND :matches_filters
GROUP BY 1, 2, 3, 4, 5, 6, 7, 8, 9, first_property, second_property
ORDER BY total_tokens DESC, 1, 2, 3, 4, 5, 6, 7, 8, 9, first_property, second_property
LIMIT :count;
