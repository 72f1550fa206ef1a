-- When are the first and the last 15-minute bucket with pruned calls?
\ir defaults.sql
SELECT min(bucket) AS first_at, max(bucket) AS last_at
FROM token_tracker_usage_rollup AS rollup
WHERE minutes = 15 AND generation > 0 AND (:include_tests OR NOT is_test);
