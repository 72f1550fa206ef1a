-- Are there calls without a known user (user_id `anonymous`)?
\ir defaults.sql
SELECT EXISTS (
    SELECT 1
    FROM token_usage AS calls
    WHERE user_id = 'anonymous' AND created_at >= :start AND created_at < :end
      AND :matches_filters
) AS has_anonymous_calls;
