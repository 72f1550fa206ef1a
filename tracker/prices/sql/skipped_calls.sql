-- How many calls can't be repriced, because of a time outside of the years 1 to 9999 or an unusable cost?
\ir defaults.sql
SELECT count(*) FILTER (WHERE cost IS NULL AND is_in_years IS NOT TRUE) AS without_time,
       count(*) FILTER (WHERE abs(cost::numeric) > :max_cost AND coalesce(cost_source, '') NOT IN ('own prices', 'dashboard prices')
                          AND coalesce(cost_source, '') NOT LIKE 'genai-prices %') AS unusable_costs
FROM token_usage AS calls
CROSS JOIN LATERAL (SELECT created_at >= '0001-01-02 00:00Z' AND created_at < '9999-12-30 00:00Z') AS years (is_in_years)
-- The index on created_at answers this for the dashboard's minute task.
WHERE :include_priced OR created_at IS NULL
   OR created_at < '0001-01-02 00:00Z' OR created_at >= '9999-12-30 00:00Z';
