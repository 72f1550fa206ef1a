-- How many output tokens did the successful calls of a model generate, and in how much time?
-- Calls without output tokens (embeddings) or without a duration are not counted.
\ir defaults.sql
SELECT model, sum(output_tokens)::float8 AS output_tokens, sum(processing_time::float8) AS duration_ms
FROM token_usage AS calls
WHERE created_at >= :start AND created_at < :end
  AND :matches_filters
  AND success IS NOT FALSE AND output_tokens > 0 AND processing_time > 0
GROUP BY model
ORDER BY model;
