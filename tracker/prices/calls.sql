-- Which calls after this one have a cost that is ours to set, and what do prices need to know of them?
SELECT id::text AS id,
       created_at,
       coalesce(provider, '') AS provider,
       coalesce(model, '') AS model,
       coalesce(input_tokens, 0)::int8 AS input_tokens,
       coalesce(output_tokens, 0)::int8 AS output_tokens,
       coalesce(cache_read_input_tokens, 0)::int8 AS cache_read_input_tokens,
       coalesce(cache_write_input_tokens, 0)::int8 AS cache_write_input_tokens,
       coalesce(reasoning_output_tokens, 0)::int8 AS reasoning_output_tokens,
       CASE WHEN metadata::jsonb ? 'usage_problem' THEN '"unknown"' ELSE metadata::jsonb -> 'usage' END AS details,
       -- Where the column takes no NULL, an unknown cost is stored as its default.
       CASE WHEN NOT %(zero)s OR cost <> 0 OR cost_source IS NOT NULL THEN cost::text END AS cost,
       cost_source
FROM token_usage AS calls
WHERE (created_at, id) > (%(time)s::timestamptz, %(id)s::uuid)
  AND (cost IS NULL OR (%(zero)s AND cost = 0 AND cost_source IS NULL)
       OR (%(again)s AND (cost_source LIKE 'genai-prices %%' OR cost_source = 'own prices')))
ORDER BY created_at, id
LIMIT %(count)s
