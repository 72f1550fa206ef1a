-- How many calls are there, without test and sample calls?
\ir ../../rollups/sql/expressions.sql
SELECT count(*)::bigint AS total FROM token_usage WHERE is_test IS NOT TRUE AND NOT :call_is_sample;
