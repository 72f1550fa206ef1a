-- Which calls of this range have no cost or inconsistent usage, by model and reason?
-- Reads rollup buckets that are up to date; dirty buckets and the ends of the range from the rows.
\ir defaults.sql
WITH used (provider, model, usage_problem, usage_source, reason, calls, unpriced_calls, unpriced_tokens) AS (
    -- From the rollups:
    SELECT provider, model, usage_problem, usage_source, reason, calls, unpriced_calls, unpriced_tokens
    FROM :rollup_segments
    CROSS JOIN LATERAL (SELECT * FROM token_tracker_unpriced_rollup AS rollup WHERE :is_in_segment OFFSET 0) AS rollup
    WHERE :counts_in_rollup
      AND (:model IS NULL OR model = :model)
      AND (:provider IS NULL OR provider = :provider)
      AND (:operation IS NULL OR operation = :operation)
      AND (:environment IS NULL OR environment = :environment)
    UNION ALL
    -- From the rows:
    SELECT provider, model,
           left(metadata ->> 'usage_problem', 200),
           CASE WHEN metadata ->> 'usage_problem' IS NOT NULL THEN left(metadata ->> 'usage_source', 60) END,
           CASE WHEN :has_cost IS NOT TRUE THEN substring(cost_source FROM '^unpriced (.{1,80})') END,
           1, (:has_cost IS NOT TRUE)::int,
           CASE WHEN :has_cost IS NOT TRUE THEN coalesce(:call_tokens, 0)::bigint ELSE 0 END
    FROM :row_segments
    CROSS JOIN LATERAL (
        SELECT *
        FROM token_usage AS calls
        WHERE created_at >= segment.start AND created_at < segment.until
          AND (:has_cost IS NOT TRUE OR metadata ->> 'usage_problem' IS NOT NULL)
        OFFSET 0
    ) AS calls
    WHERE :matches_filters
    UNION ALL
    SELECT provider, model,
           left(metadata ->> 'usage_problem', 200),
           CASE WHEN metadata ->> 'usage_problem' IS NOT NULL THEN left(metadata ->> 'usage_source', 60) END,
           CASE WHEN :has_cost IS NOT TRUE THEN substring(cost_source FROM '^unpriced (.{1,80})') END,
           1, (:has_cost IS NOT TRUE)::int,
           CASE WHEN :has_cost IS NOT TRUE THEN coalesce(:call_tokens, 0)::bigint ELSE 0 END
    FROM token_usage AS calls
    WHERE created_at >= :rows_start AND created_at < :rows_until
      AND (:has_cost IS NOT TRUE OR metadata ->> 'usage_problem' IS NOT NULL)
      AND :matches_filters
)
SELECT provider, model, usage_problem, usage_source, reason,
       sum(calls)::bigint AS calls,
       sum(unpriced_calls)::bigint AS unpriced_calls,
       sum(unpriced_tokens)::bigint AS unpriced_tokens
FROM used
GROUP BY 1, 2, 3, 4, 5
ORDER BY calls DESC, model, provider, usage_problem, usage_source, reason;
