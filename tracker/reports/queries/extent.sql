-- When was the first call and when the last, whatever the range?
\ir defaults.sql
SELECT min(created_at) AS first_at, max(created_at) AS last_at
FROM token_usage AS calls
WHERE :include_tests OR is_test IS NOT TRUE;
