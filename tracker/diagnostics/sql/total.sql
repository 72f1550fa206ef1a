-- How many calls are there, without test calls?
SELECT count(*)::bigint AS total FROM token_usage WHERE is_test IS NOT TRUE;
