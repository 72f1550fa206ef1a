-- Which calls after the cursor have a cost that Token Tracker may set, and which values do their prices need?
\ir defaults.sql
SELECT id::text AS id,
       created_at,
       coalesce(provider, '') AS provider,
       coalesce(model, '') AS model,
       coalesce(input_tokens, 0)::int8 AS input_tokens,
       coalesce(output_tokens, 0)::int8 AS output_tokens,
       coalesce(cache_read_input_tokens, 0)::int8 AS cache_read_input_tokens,
       coalesce(cache_write_input_tokens, 0)::int8 AS cache_write_input_tokens,
       coalesce(reasoning_output_tokens, 0)::int8 AS reasoning_output_tokens,
       success IS FALSE AS failed,
       (metadata::jsonb -> 'usage')::text AS details,
       (metadata::jsonb -> 'calls')::text AS calls,
       CASE WHEN metadata ->> 'usage_problem' IS NOT NULL THEN metadata::text END AS marked,
       -- If the column is NOT NULL, its default represents an unknown cost.
       CASE WHEN NOT :zero OR cost <> 0 OR (cost_source IS NOT NULL AND cost_source NOT LIKE 'unpriced %')
           THEN cost::text END AS cost,
       cost_source
FROM token_usage AS calls
-- Python supports the years 1 to 9999; minus a day at each end, since psycopg2 converts to the session's time zone.
WHERE created_at >= '0001-01-02 00:00Z' AND created_at < '9999-12-30 00:00Z'
  AND (created_at, id) > (:time::timestamptz, :id::uuid)
  -- Calls of one model, or of the models whose names have this prefix, also as one of several models of a row.
  AND (:model::text IS NULL AND :prefix::text IS NULL
       OR (model = :model OR starts_with(model, :prefix)) AND (:provider::text IS NULL OR provider = :provider)
       OR jsonb_path_exists(metadata::jsonb, '$.usage.parts[*].model ? (@ == $model || @ starts with $prefix)',
                            jsonb_build_object('model', :model::text, 'prefix', :prefix::text)))
  AND (((cost IS NULL OR (:zero AND cost = 0 AND (cost_source IS NULL OR cost_source LIKE 'unpriced %')))
        AND (:explained OR cost_source IS NULL OR cost_source NOT LIKE 'unpriced %'))
       OR (:include_priced AND (cost_source LIKE 'genai-prices %' OR cost_source IN ('own prices', 'dashboard prices')
                          OR metadata ->> 'usage_raw' IS NOT NULL
                          OR (cost = 0 AND cost_source = 'provided' AND (:zero_costs OR provider = 'openrouter')))))
ORDER BY created_at, id
LIMIT :count;
