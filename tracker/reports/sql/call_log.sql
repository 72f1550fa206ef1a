-- Which calls match a search, newest first after a position, among the next :scan_rows calls?
\ir defaults.sql
\if :{?before} \else \set before NULL \endif
\if :{?before_id} \else \set before_id NULL \endif
\if :{?scan_rows} \else \set scan_rows 5000 \endif
\if :{?shown_keys} \else \set shown_keys NULL \endif
\if :{?text} \else \set text NULL \endif
\if :{?failed} \else \set failed NULL \endif
\if :{?min_ms} \else \set min_ms NULL \endif
\if :{?min_usd} \else \set min_usd NULL \endif
WITH scanned AS MATERIALIZED (
  SELECT id, created_at, provider, model, operation, user_id, session_id, input_tokens, output_tokens, total_tokens,
         cache_read_input_tokens, cache_write_input_tokens, reasoning_output_tokens,
         CASE WHEN :has_cost THEN cost END AS cost_usd, cost_source, processing_time, success, error_message,
         environment, platform, region, deployment, delivery, is_test,
         (delivery IS NULL AND metadata ->> 'source' = 'otlp') IS TRUE AS is_span,
         :counts_sample AND :matches_properties AS matches_metadata,
         CASE WHEN CAST(:shown_keys AS text[]) IS NOT NULL
              THEN ARRAY(SELECT metadata ->> shown.key
                         FROM unnest(CAST(:shown_keys AS text[])) WITH ORDINALITY AS shown (key, position)
                         ORDER BY shown.position) END AS shown_properties
  FROM token_usage AS calls
  WHERE created_at >= :start AND created_at < :end
    AND (CAST(:before AS timestamptz) IS NULL
         OR (created_at, id) < (CAST(:before AS timestamptz), CAST(:before_id AS uuid)))
    AND (:user IS NULL OR user_id = :user)
  ORDER BY created_at DESC, id DESC
  LIMIT :scan_rows
), matching AS (
  SELECT *
  FROM scanned
  WHERE :matches_columns AND matches_metadata
    AND (CAST(:text AS text) IS NULL
         OR strpos(lower(concat_ws(chr(10), operation, user_id, session_id)), lower(:text)) > 0)
    AND (CAST(:failed AS boolean) IS NULL OR (success IS NOT FALSE) <> :failed)
    AND (CAST(:min_ms AS float8) IS NULL OR processing_time >= :min_ms)
    AND (CAST(:min_usd AS float8) IS NULL OR cost_usd >= CAST(:min_usd AS numeric))
  ORDER BY created_at DESC, id DESC
  LIMIT :count
)
SELECT id::text AS id, created_at, provider, model, operation, user_id, session_id, input_tokens, output_tokens,
       total_tokens, cache_read_input_tokens, cache_write_input_tokens, reasoning_output_tokens, cost_usd, cost_source,
       processing_time, success IS NOT FALSE AS success, error_message, environment, platform, region, deployment,
       delivery, is_test IS TRUE AS is_test, is_span, shown_properties, FALSE AS is_end, NULL::bigint AS scanned
FROM matching
UNION ALL
-- The last scanned call is the position from which a search without further matches continues.
SELECT id::text, created_at, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL,
       NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, TRUE, (SELECT count(*) FROM scanned)
FROM (SELECT id, created_at FROM scanned ORDER BY created_at, id LIMIT 1) AS last_scanned
ORDER BY is_end, created_at DESC, id DESC;
