-- At which hours of which weekdays are calls made?
\ir defaults.sql
SELECT extract(isodow FROM created_at AT TIME ZONE :timezone)::int - 1 AS weekday,
       extract(hour FROM created_at AT TIME ZONE :timezone)::int AS hour,
       count(*) AS calls,
       sum(total_tokens)::bigint AS total_tokens
FROM token_usage AS calls
WHERE created_at >= :start AND created_at < :end
  AND (:include_tests OR is_test IS NOT TRUE)
  AND (:model IS NULL OR model = :model)
  AND (:provider IS NULL OR provider = :provider)
  AND (:operation IS NULL OR operation = :operation)
  AND (:user IS NULL OR user_id = :user)
  AND (:environment IS NULL OR environment = :environment)
GROUP BY 1, 2;
