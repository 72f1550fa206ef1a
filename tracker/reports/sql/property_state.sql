-- From when on does the rollup have the values of an indexed property, and which of its buckets have a mark instead?
-- Seconds of the epoch; the marks are pairs of the bucket size in minutes and the start. No row: the key is not indexed.
\ir defaults.sql
\if :{?indexed_key} \else \set indexed_key '\'team\'' \endif
SELECT extract(epoch FROM covered_from)::float8 AS covered_from,
       (SELECT coalesce(json_agg(json_build_array(minutes, start)), '[]')
        FROM (
            SELECT DISTINCT minutes, extract(epoch FROM bucket)::bigint AS start
            FROM token_tracker_property_rollup AS rollup
            WHERE property = :indexed_key AND is_overflow AND minutes IN (15, 60, 1440)
              AND bucket >= CAST(:start AS timestamptz) - interval '1 day' AND bucket < :end
        ) AS buckets) AS marks
FROM token_tracker_properties AS keys
WHERE property = :indexed_key AND is_indexed AND NOT needs_purge;
