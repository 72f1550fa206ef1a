-- Are there calls without a known user (user_id `anonymous`)?
\ir defaults.sql
SELECT EXISTS (
    SELECT 1
    FROM token_usage AS calls
    WHERE user_id = 'anonymous' AND created_at >= :start AND created_at < :end
      AND (:include_tests OR is_test IS NOT TRUE)
      AND (:model IS NULL OR model = :model)
      AND (:provider IS NULL OR provider = :provider)
      AND (:operation IS NULL OR operation = :operation)
      AND (:user IS NULL OR user_id = :user)
      AND (:environment IS NULL OR environment = :environment)
) AS has_anonymous_calls;
