-- What is the usage by the columns in `by` (and by step), largest first, read from the rows?
\ir defaults.sql
SELECT :usage_columns, NULL AS first_property, NULL AS second_property, FALSE AS overlaps, :usage_sums
FROM token_usage AS calls
WHERE created_at >= :start AND created_at < :end
  AND :matches_filters
GROUP BY 1, 2, 3, 4, 5, 6, 7, 8, 9
ORDER BY total_tokens DESC, 1, 2, 3, 4, 5, 6, 7, 8, 9
LIMIT :count;
