-- Which rights does this role have on token_usage in the first schema of search_path, and which policies apply to it?
SELECT has_schema_privilege(n.oid, 'USAGE') AS usage_on_schema,
       has_any_column_privilege(t.oid, 'SELECT') AS may_select,
       has_table_privilege(t.oid, 'INSERT') AS may_insert,
       has_table_privilege(t.oid, 'DELETE') AS may_delete,
       row_security_active(t.oid) AS row_security_active,
       EXISTS (SELECT 1 FROM pg_policy p
               WHERE p.polrelid = t.oid AND p.polcmd IN ('*', 'a') AND p.polpermissive
                 AND (p.polroles = '{0}' OR EXISTS (SELECT 1 FROM unnest(p.polroles) AS role
                                                    WHERE role <> 0 AND pg_has_role(role, 'USAGE')))) AS policy_inserts,
       EXISTS (SELECT 1 FROM pg_policy p
               WHERE p.polrelid = t.oid AND p.polcmd IN ('*', 'r') AND p.polpermissive
                 AND (p.polroles = '{0}' OR EXISTS (SELECT 1 FROM unnest(p.polroles) AS role
                                                    WHERE role <> 0 AND pg_has_role(role, 'USAGE')))) AS policy_selects
FROM pg_class t
JOIN pg_namespace n ON n.oid = t.relnamespace
WHERE t.relname = 'token_usage' AND n.nspname = btrim(split_part(current_setting('search_path'), ',', 1), '"') AND t.relkind IN ('r', 'p', 'v', 'm', 'f');
