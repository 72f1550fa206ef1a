-- Which records are the newest?
\ir defaults.sql
SELECT id, created_at, (delivery IS NULL AND metadata ->> 'source' = 'otlp') IS TRUE AS is_span,
       model, operation, user_id, input_tokens, output_tokens, CASE WHEN :has_cost THEN cost::float8 END AS cost_usd,
       processing_time, success IS NOT FALSE AS success, error_message, environment, delivery,
       is_test IS TRUE AS is_test, :call_is_sample AS is_sample
FROM token_usage AS calls
WHERE created_at >= :start AND created_at < :end
  AND :matches_filters
ORDER BY created_at DESC
LIMIT :count;
