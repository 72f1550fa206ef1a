-- Which calls have these values in one or two columns, newest first?
\ir defaults.sql
\if :{?rows_by} \else \set rows_by '\'\'' \endif
\if :{?row_name} \else \set row_name NULL \endif
\if :{?columns_by} \else \set columns_by '\'\'' \endif
\if :{?column_name} \else \set column_name NULL \endif
SELECT id::text AS id, created_at, provider, model, operation, user_id, input_tokens, output_tokens, total_tokens,
       CASE WHEN :has_cost THEN cost::float8 END AS cost_usd, processing_time, success IS NOT FALSE AS success, error_message, environment, platform,
       deployment, delivery, is_test IS TRUE AS is_test, (delivery IS NULL AND metadata ->> 'source' = 'otlp') IS TRUE AS is_span
FROM token_usage AS calls
WHERE created_at >= :start AND created_at < :end
  AND :matches_filters
  AND (CAST(:rows_by AS text) = '' OR CAST(:row_name AS text) IS NOT DISTINCT FROM :row_value)
  AND (CAST(:columns_by AS text) = '' OR CAST(:column_name AS text) IS NOT DISTINCT FROM :column_value)
ORDER BY created_at DESC
LIMIT :count;
