-- Do the tables of budgets exist, and what may this role do with them? Does the app have its own table of limits?
-- A role that row-level security excludes from a table may not use it either: it would read no rows.
\if :{?budgets} \else \set budgets '\'token_tracker_budgets\'' \endif
\if :{?alerts} \else \set alerts '\'token_tracker_budget_alerts\'' \endif
\if :{?thresholds} \else \set thresholds '\'usage_thresholds\'' \endif
\if :{?schema} \else \set schema 'current_schema()' \endif
SELECT count(c.oid) FILTER (WHERE ours) = 2 AS exists,
       coalesce(bool_and(has_table_privilege(c.oid, 'SELECT') AND NOT row_security_active(c.oid))
           FILTER (WHERE ours), false) AS reads,
       coalesce(bool_and(has_table_privilege(c.oid, 'SELECT') AND has_table_privilege(c.oid, 'INSERT')
           AND NOT row_security_active(c.oid)) FILTER (WHERE c.relname = :alerts), false)
         AND NOT pg_is_in_recovery() AND current_setting('transaction_read_only') = 'off' AS claims,
       count(c.oid) FILTER (WHERE NOT ours) > 0 AS has_thresholds,
       coalesce(bool_and(has_table_privilege(c.oid, 'SELECT')) FILTER (WHERE NOT ours), false) AS reads_thresholds,
       current_user::text AS role,
       coalesce(bool_or(EXISTS (SELECT FROM pg_attribute
                                WHERE attrelid = c.oid AND attname = 'is_sample' AND NOT attisdropped))
           FILTER (WHERE c.relname = :budgets), false) AS has_samples,
       NOT coalesce(bool_or(EXISTS (SELECT FROM pg_constraint
                                    WHERE conrelid = c.oid AND contype = 'c'
                                      AND pg_get_constraintdef(pg_constraint.oid) LIKE '%''operation''%'
                                      AND pg_get_constraintdef(pg_constraint.oid) NOT LIKE '%''property''%'))
           FILTER (WHERE c.relname = :budgets), false) AS has_properties
FROM pg_namespace AS n
LEFT JOIN (
    SELECT oid, relnamespace, relname, relname <> :thresholds AS ours
    FROM pg_class
    WHERE relname IN (:budgets, :alerts, :thresholds)
      AND relkind IN ('r', 'p', 'v', 'm', 'f')
) AS c ON c.relnamespace = n.oid
WHERE n.nspname = :schema
GROUP BY n.oid;
