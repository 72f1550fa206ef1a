-- How many tokens and USD did the calls with these properties use in this window?
-- Test calls are excluded. Sample calls are excluded, or with `samples` the only ones. Reads the rows.
\if :{?samples} \else \set samples false \endif
\if :{?property_keys} \else \set property_keys '\'{plan}\'' \endif
\if :{?property_values} \else \set property_values '\'{pro}\'' \endif
\ir ../../reports/sql/defaults.sql
SELECT coalesce(sum(:call_tokens), 0)::bigint AS tokens,
       coalesce(sum(cost::numeric) FILTER (WHERE :has_cost), 0) AS usd,
       count(*) FILTER (WHERE :has_cost IS NOT TRUE) AS unpriced_calls
FROM token_usage AS calls
WHERE created_at >= :start AND created_at < :end
  AND is_test IS NOT TRUE AND :call_is_sample = :samples
  AND :matches_properties;
