-- How many pruned calls of the range have no known value of an indexed property?
-- They were pruned before the key was indexed, or in a bucket with too many values.
\ir defaults.sql
\if :{?indexed_key} \else \set indexed_key '\'team\'' \endif
WITH used (calls) AS (
    -- From the rollups:
    SELECT calls
    FROM :rollup_segments
    CROSS JOIN LATERAL (
        SELECT * FROM token_tracker_usage_rollup AS rollup WHERE rollup.generation > 0 AND :is_in_segment OFFSET 0
    ) AS rollup
    WHERE :counts_in_rollup
      AND (:model IS NULL OR model = :model)
      AND (:provider IS NULL OR provider = :provider)
    UNION ALL
    SELECT -calls_once
    FROM :rollup_segments
    CROSS JOIN LATERAL (
        SELECT *
        FROM token_tracker_property_rollup AS rollup
        WHERE property = :indexed_key AND NOT is_overflow AND rollup.generation > 0 AND :is_in_segment
        OFFSET 0
    ) AS rollup
    WHERE :counts_in_rollup
      AND (:model IS NULL OR model = :model)
      AND (:provider IS NULL OR provider = :provider)
    UNION ALL
    -- From the rows:
    SELECT 0
)
SELECT greatest(sum(calls), 0)::bigint AS calls FROM used;
