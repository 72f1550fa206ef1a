-- Which are the newest calls, without test calls?
SELECT created_at, model, operation, total_tokens, environment
FROM token_usage
WHERE is_test IS NOT TRUE
ORDER BY created_at DESC
LIMIT 10;
