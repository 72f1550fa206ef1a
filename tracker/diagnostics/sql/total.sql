-- How many calls are there? Test recordings are left out.
SELECT count(*)::bigint AS total FROM token_usage WHERE is_test IS NOT TRUE;
