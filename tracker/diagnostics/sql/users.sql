-- Which users used the most tokens in the last 24 hours?
-- Test and sample calls are excluded.
\ir ../../rollups/sql/expressions.sql
SELECT user_id, count(*)::int AS calls, sum(coalesce(total_tokens, input_tokens::bigint + output_tokens))::bigint AS total_tokens
FROM token_usage
WHERE created_at >= now() - interval '24 hours' AND is_test IS NOT TRUE AND NOT :call_is_sample
GROUP BY user_id
ORDER BY total_tokens DESC NULLS LAST, user_id
LIMIT 10;
