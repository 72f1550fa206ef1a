-- Which are the newest calls, without test and sample calls?
\ir ../../rollups/sql/expressions.sql
SELECT created_at, model, operation, total_tokens, environment
FROM token_usage
WHERE is_test IS NOT TRUE AND NOT :call_is_sample
ORDER BY created_at DESC
LIMIT 10;
