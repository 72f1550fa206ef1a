-- Which values do the filter columns have, most frequent first?
-- Reads the newest calls only, so the cost is independent of the table's size.
\ir defaults.sql
WITH newest AS (
    SELECT provider, model, operation, environment, user_id
    FROM token_usage AS calls
    WHERE (:include_tests OR is_test IS NOT TRUE)
    ORDER BY created_at DESC
    LIMIT 5000
), counted AS (
    SELECT name, value, count(*) AS calls, row_number() OVER (PARTITION BY name ORDER BY count(*) DESC, value) AS rank
    FROM newest
    CROSS JOIN LATERAL (VALUES ('model', model), ('provider', provider), ('operation', operation),
                               ('environment', environment), ('user', user_id)) AS pairs (name, value)
    WHERE value IS NOT NULL
    GROUP BY name, value
)
SELECT name, value
FROM counted
WHERE rank <= 60
ORDER BY name, rank;
