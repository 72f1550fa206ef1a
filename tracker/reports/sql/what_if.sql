-- Which tokens do the next :scan_rows calls have, newest first after a position, added up where one price applies?
\ir defaults.sql
\if :{?before} \else \set before NULL \endif
\if :{?before_id} \else \set before_id NULL \endif
\if :{?scan_rows} \else \set scan_rows 5000 \endif
\if :{?tier_starts} \else \set tier_starts '\'{200000}\'' \endif
\if :{?narrow_tiers} \else \set narrow_tiers '\'{}\'' \endif
WITH scanned AS MATERIALIZED (
  SELECT id, created_at, coalesce(provider, '') AS provider, coalesce(model, '') AS model,
         coalesce(operation, '') AS operation, coalesce(input_tokens, 0)::bigint AS input,
         coalesce(output_tokens, 0)::bigint AS output, coalesce(cache_read_input_tokens, 0)::bigint AS cache_read,
         coalesce(cache_write_input_tokens, 0)::bigint AS cache_write,
         coalesce(reasoning_output_tokens, 0)::bigint AS reasoning, coalesce(:call_tokens, 0)::bigint AS tokens,
         success IS FALSE AS failed, CASE WHEN :has_cost THEN cost::numeric END AS cost,
         metadata::jsonb -> 'usage' AS details, metadata::jsonb -> 'calls' AS batch,
         left(metadata ->> 'usage_problem', 200) AS problem, (:matches_filters) AS matches, :call_rate_number AS rate_number
  FROM token_usage AS calls
  WHERE created_at >= :start AND created_at < :end
    AND (CAST(:before AS timestamptz) IS NULL
         OR (created_at, id) < (CAST(:before AS timestamptz), CAST(:before_id AS uuid)))
    AND (:user IS NULL OR user_id = :user)
  ORDER BY created_at DESC, id DESC
  LIMIT :scan_rows
), matching AS (
  SELECT scanned.*, input > cache_read + cache_write AS has_input, output > reasoning AS has_output, tier,
         -- A price depends on the single call: a count in the details, a sum of calls, or counts that contradict.
         tier = ANY (CAST(:narrow_tiers AS integer[])) OR batch IS NOT NULL
           OR least(input - cache_read - cache_write, cache_read, cache_write, output - reasoning, reasoning) < 0
           OR coalesce(jsonb_path_exists(details, '$.* ? (@.type() != "string" && @.type() != "boolean" && @.type() != "null")'), FALSE)
           AS is_single
  FROM scanned
  CROSS JOIN LATERAL (SELECT width_bucket(input - 1, CAST(:tier_starts AS bigint[])) AS tier) AS sizes
  WHERE matches
)
SELECT provider, model, operation, failed, problem, details::text AS details, batch::text AS batch, is_single, tier,
       has_input, has_output, cache_read > 0 AS has_cache_read, cache_write > 0 AS has_cache_write,
       reasoning > 0 AS has_reasoning, cost IS NOT NULL AS has_cost, rate_number, count(*) AS calls,
       sum(input)::bigint AS input_tokens, sum(output)::bigint AS output_tokens,
       sum(cache_read)::bigint AS cache_read_input_tokens, sum(cache_write)::bigint AS cache_write_input_tokens,
       sum(reasoning)::bigint AS reasoning_output_tokens, sum(tokens)::bigint AS total_tokens, sum(cost) AS cost_usd,
       NULL::timestamptz AS last_at, NULL::text AS last_id, NULL::bigint AS scanned
FROM matching
GROUP BY provider, model, operation, failed, problem, matching.details, matching.batch, is_single, tier, has_input, has_output,
         cache_read > 0, cache_write > 0, reasoning > 0, cost IS NOT NULL, rate_number, CASE WHEN is_single THEN id END
UNION ALL
-- The last scanned call is the position from which the next statement continues.
SELECT NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, 0,
       NULL, NULL, NULL, NULL, NULL, NULL, NULL, created_at, id::text, (SELECT count(*) FROM scanned)
FROM (SELECT id, created_at FROM scanned ORDER BY created_at, id LIMIT 1) AS last_scanned;
