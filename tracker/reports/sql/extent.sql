-- When are the first and the last call of the table?
-- Only the years that Python supports.
\ir defaults.sql
SELECT min(created_at) AS first_at, max(created_at) AS last_at
FROM token_usage AS calls
WHERE (:include_tests OR is_test IS NOT TRUE)
  AND created_at >= '0001-01-02 00:00Z' AND created_at < '9999-12-30 00:00Z';
