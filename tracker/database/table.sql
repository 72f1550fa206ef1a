-- What does token_usage look like in this schema: columns, key, indexes, row-level security?
SELECT json_build_object(
    'kind', t.relkind,
    'row_security', coalesce(t.relrowsecurity, false),
    'is_owner', coalesce(pg_has_role(t.relowner, 'USAGE'), false),
    'estimated_rows', coalesce(t.reltuples, 0),
    'synchronous_commit', current_setting('synchronous_commit'),
    'supabase', (SELECT count(*) = 2 FROM pg_roles WHERE rolname IN ('anon', 'authenticated')),
    'unique_id', EXISTS (
        SELECT 1
        FROM pg_index i
        JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = i.indkey[0]
        WHERE i.indrelid = t.oid AND i.indisunique AND i.indisvalid AND i.indpred IS NULL
          AND i.indimmediate  -- ON CONFLICT takes no deferrable key
          AND i.indnkeyatts = 1 AND a.attname = 'id'),
    -- Each complete b-tree with its keys in order: a column by its name, an expression as PostgreSQL writes it.
    'indexes', coalesce((
        SELECT json_agg(json_build_object(
            'name', c.relname,
            'valid', i.indisvalid,
            'keys', (SELECT json_agg(coalesce(a.attname, pg_get_indexdef(i.indexrelid, k.position::integer, true))
                                     ORDER BY k.position)
                     FROM unnest(i.indkey::smallint[]) WITH ORDINALITY AS k (attnum, position)
                     LEFT JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.attnum
                     WHERE k.position <= i.indnkeyatts)) ORDER BY c.relname)
        FROM pg_index i
        JOIN pg_class c ON c.oid = i.indexrelid
        JOIN pg_am m ON m.oid = c.relam
        WHERE i.indrelid = t.oid AND i.indpred IS NULL AND m.amname = 'btree'), '[]'),
    -- May this role tell the ledger and the table of alerts? Under row-level security a policy has to let it, too.
    'takes_notes', (
        SELECT count(*) = 2 AND bool_and(
            has_table_privilege(o.oid, 'INSERT')
            AND (NOT row_security_active(o.oid) OR EXISTS (
                SELECT 1
                FROM pg_policy p
                WHERE p.polrelid = o.oid AND p.polcmd IN ('a', '*') AND p.polpermissive
                  AND EXISTS (
                      SELECT 1 FROM unnest(p.polroles) AS role WHERE role = 0 OR pg_has_role(role, 'USAGE')))))
        FROM pg_class o
        WHERE o.relnamespace = n.oid AND o.relname IN ('token_tracker_ledger', 'token_tracker_alerts')),
    'late_index', EXISTS (
        SELECT 1
        FROM pg_index i
        JOIN pg_class c ON c.oid = i.indexrelid
        WHERE i.indrelid = t.oid AND i.indisvalid AND c.relname = 'token_usage_late_idx'
          -- Not the kind of earlier versions, whose predicate fails with an infinite time.
          AND pg_get_expr(i.indpred, i.indrelid) LIKE '%%recorded_at AT TIME ZONE%%'),
    'columns', coalesce((
        SELECT json_agg(json_build_object(
            'name', a.attname,
            'type', regexp_replace(format_type(a.atttypid, NULL), '^"?\w+"?\.', ''),
            'generated', a.attgenerated <> '' OR a.attidentity = 'a',
            'not_null', a.attnotnull,
            'required', a.attnotnull AND NOT a.atthasdef AND a.attidentity = '' AND a.attgenerated = '',
            'comment', col_description(t.oid, a.attnum)))
        FROM pg_attribute a
        WHERE a.attrelid = t.oid AND a.attnum > 0 AND NOT a.attisdropped), '[]'))
FROM (SELECT 1) AS always
LEFT JOIN pg_namespace n ON n.nspname = %(schema)s
LEFT JOIN pg_class t ON t.relnamespace = n.oid AND t.relname = 'token_usage' AND t.relkind IN ('r', 'p', 'v', 'm', 'f');
