-- How many test calls are in the table?
SELECT count(*) AS records
FROM token_usage AS calls
WHERE is_test;
