-- What are the usage totals by the values of an indexed property, model, provider (and step), as `by` names them?
-- Reads rollup buckets that are up to date and have all values; other buckets and the ends of the range from the rows.
-- A row with is_outdated means: the rollup changed after the range was divided. With overlaps, a call counts under several
-- values.
\ir defaults.sql
\if :{?indexed_key} \else \set indexed_key '\'team\'' \endif
\if :{?indexed_value} \else \set indexed_value NULL \endif
\if :{?max_rows} \else \set max_rows NULL \endif
\if :{?filters_value} \else \set filters_value false \endif
\if :{?key_covered_from} \else \set key_covered_from '\'-Infinity\'::float8' \endif
WITH used (is_outdated, is_shared, step, value, provider, model, calls, failed_calls, input_tokens, output_tokens,
           total_tokens, cache_read_input_tokens, cache_write_input_tokens, reasoning_output_tokens,
           cost, unpriced_calls, unpriced_tokens, sample_calls) AS (
    -- From the rollups:
    SELECT false, calls_once < calls, segment.step, value, provider, model, calls, failed_calls, input_tokens, output_tokens,
           total_tokens, cache_read_input_tokens, cache_write_input_tokens, reasoning_output_tokens,
           cost, unpriced_calls, unpriced_tokens, sample_calls
    FROM :rollup_segments
    CROSS JOIN LATERAL (
        SELECT * FROM token_tracker_property_rollup AS rollup WHERE property = :indexed_key AND :is_in_segment OFFSET 0
    ) AS rollup
    WHERE NOT is_overflow AND :has_indexed_value
      AND :counts_in_rollup
      AND (:model IS NULL OR model = :model)
      AND (:provider IS NULL OR provider = :provider)
    UNION ALL
    SELECT true, false, NULL, NULL, NULL, NULL, 0, 0, 0, 0, 0, 0, 0, 0, NULL, 0, 0, 0
    WHERE NOT EXISTS (
        SELECT FROM token_tracker_properties AS keys
        WHERE property = :indexed_key AND is_indexed AND NOT needs_purge
          AND covered_from <= to_timestamp(:key_covered_from)
    ) OR EXISTS (
        -- A mark of pruned calls remains in its 15-minute bucket: no row has their values.
        SELECT FROM :rollup_segments
        CROSS JOIN LATERAL (
            SELECT FROM token_tracker_property_rollup AS rollup
            WHERE property = :indexed_key AND is_overflow AND :is_in_segment
              AND (rollup.generation = 0 OR rollup.minutes > 15)
            LIMIT 1
        ) AS mark
    )
    UNION ALL
    -- From the rows:
    SELECT false, cardinality(texts) > 1, segment.step, value, provider, model,
           1, (success IS FALSE)::int, coalesce(input_tokens, 0)::bigint, coalesce(output_tokens, 0)::bigint,
           coalesce(:call_tokens, 0)::bigint, coalesce(cache_read_input_tokens, 0)::bigint,
           coalesce(cache_write_input_tokens, 0)::bigint, coalesce(reasoning_output_tokens, 0)::bigint,
           CASE WHEN :has_cost THEN cost::numeric END, (:has_cost IS NOT TRUE)::int,
           CASE WHEN :has_cost IS NOT TRUE THEN coalesce(:call_tokens, 0)::bigint ELSE 0 END,
           (:call_is_sample)::int
    FROM :segment_calls CROSS JOIN :indexed_values
    WHERE :matches_columns AND :counts_sample AND :has_indexed_value
    UNION ALL
    SELECT false, cardinality(texts) > 1, :call_step, value, provider, model,
           1, (success IS FALSE)::int, coalesce(input_tokens, 0)::bigint, coalesce(output_tokens, 0)::bigint,
           coalesce(:call_tokens, 0)::bigint, coalesce(cache_read_input_tokens, 0)::bigint,
           coalesce(cache_write_input_tokens, 0)::bigint, coalesce(reasoning_output_tokens, 0)::bigint,
           CASE WHEN :has_cost THEN cost::numeric END, (:has_cost IS NOT TRUE)::int,
           CASE WHEN :has_cost IS NOT TRUE THEN coalesce(:call_tokens, 0)::bigint ELSE 0 END,
           (:call_is_sample)::int
    FROM token_usage AS calls CROSS JOIN :indexed_values
    WHERE created_at >= :rows_start AND created_at < :rows_until
      AND :matches_columns AND :counts_sample AND :has_indexed_value
)
SELECT is_outdated,
       bool_or(is_shared) AS overlaps,
       CASE WHEN 'step' = ANY (CAST(:by AS text[])) THEN step END AS step,
       CASE WHEN 'value' = ANY (CAST(:by AS text[])) THEN value END AS value,
       CASE WHEN 'provider' = ANY (CAST(:by AS text[])) THEN provider END AS provider,
       CASE WHEN 'model' = ANY (CAST(:by AS text[])) THEN model END AS model,
       sum(calls)::bigint AS calls,
       sum(failed_calls)::bigint AS failed_calls,
       sum(input_tokens)::bigint AS input_tokens,
       sum(output_tokens)::bigint AS output_tokens,
       sum(total_tokens)::bigint AS total_tokens,
       sum(cache_read_input_tokens)::bigint AS cache_read_input_tokens,
       sum(cache_write_input_tokens)::bigint AS cache_write_input_tokens,
       sum(reasoning_output_tokens)::bigint AS reasoning_output_tokens,
       sum(cost) AS cost_usd,
       sum(unpriced_calls)::bigint AS unpriced_calls,
       sum(unpriced_tokens)::bigint AS unpriced_tokens,
       sum(sample_calls)::bigint AS sample_calls
FROM used
GROUP BY 1, 3, 4, 5, 6
ORDER BY 1 DESC, total_tokens DESC, 3
LIMIT :max_rows;
