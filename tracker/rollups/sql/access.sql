-- What may the current role do with the rollup tables?
-- Row-level security on token_usage counts, too: a role that sees some of its rows must not read the totals of all rows,
-- and must not replace them with totals of its own rows. A rollup without is_sample is of an earlier version.
\ir defaults.sql
SELECT complete, complete AND reads AND NOT row_security,
       complete AND reads AND writes AND NOT row_security AND NOT read_only,
       row_security, read_only, current_user::text
FROM (
    SELECT count(c.oid) FILTER (WHERE is_rollup) = cardinality(CAST(:names AS text[])) AS complete,
           bool_and(has_table_privilege(c.oid, 'SELECT')) FILTER (WHERE is_rollup) AS reads,
           bool_and(has_table_privilege(c.oid, 'INSERT') AND has_table_privilege(c.oid, 'UPDATE')
               AND has_table_privilege(c.oid, 'DELETE')) FILTER (WHERE is_rollup) AS writes,
           coalesce(bool_or(row_security_active(c.oid)), false) AS row_security,
           pg_is_in_recovery() OR current_setting('transaction_read_only') = 'on' AS read_only
    FROM pg_namespace n
    LEFT JOIN pg_class c ON c.relnamespace = n.oid AND c.relkind IN ('r', 'p')
     AND c.relname = ANY (CAST(:names AS text[]) || CAST(:usage AS text))
    CROSS JOIN LATERAL (
        SELECT c.relname = ANY (CAST(:names AS text[]))
           AND (right(c.relname, 7) <> '_rollup'
                OR EXISTS (SELECT FROM pg_attribute WHERE attrelid = c.oid AND attname = 'is_sample' AND NOT attisdropped))
    ) AS matches (is_rollup)
    WHERE n.nspname = :schema
    GROUP BY n.oid
) AS access;
