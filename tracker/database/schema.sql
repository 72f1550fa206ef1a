-- What does token_usage look like in this schema: columns, key, indexes, row-level security?
-- The schema is the named one; without a name, one that has a token_usage: first one with Token Tracker's other tables,
-- then public, then the first of the search_path of the URL or of this role. The session's search_path is never used:
-- behind a pooler, another client may have set it.
WITH setting AS (
    SELECT substr(entry, length('search_path=') + 1) AS path
    FROM pg_db_role_setting AS s, unnest(s.setconfig) AS entry
    WHERE entry LIKE 'search_path=%%'
      AND s.setrole IN (0, (SELECT oid FROM pg_roles WHERE rolname = session_user))
      AND s.setdatabase IN (0, (SELECT oid FROM pg_database WHERE datname = current_database()))
    ORDER BY s.setrole <> 0 DESC, s.setdatabase <> 0 DESC
    LIMIT 1
), path AS (
    SELECT CASE WHEN btrim(part, ' "') = '$user' THEN session_user::text
                WHEN btrim(part) LIKE '"%%"' THEN replace(substr(btrim(part), 2, length(btrim(part)) - 2), '""', '"')
                ELSE btrim(part) END AS name,
           position
    FROM unnest(coalesce(%(path)s::text[], (SELECT string_to_array(path, ',') FROM setting)))
         WITH ORDINALITY AS parts (part, position)
), candidate AS (
    SELECT n.nspname AS name, min(p.position) AS position,
           bool_or(EXISTS (SELECT 1 FROM pg_class m
                           WHERE m.relnamespace = n.oid AND m.relname = 'token_tracker_migrations')) AS has_tracker_tables
    FROM (SELECT name, position FROM path UNION ALL SELECT 'public', 1000) AS p
    JOIN pg_namespace n ON n.nspname = p.name
    JOIN pg_class t ON t.relnamespace = n.oid AND t.relname = 'token_usage' AND t.relkind IN ('r', 'p', 'v', 'm', 'f')
    WHERE %(schema)s::text IS NULL
    GROUP BY n.nspname
), chosen AS (
    SELECT coalesce(
        %(schema)s::text,
        (SELECT name FROM candidate ORDER BY has_tracker_tables DESC, name = 'public' DESC, position LIMIT 1),
        (SELECT name FROM path WHERE %(path)s::text[] IS NOT NULL ORDER BY position LIMIT 1),
        'public') AS name
)
SELECT json_build_object(
    'schema', chosen.name,
    'has_tracker_tables', coalesce((SELECT has_tracker_tables FROM candidate WHERE candidate.name = chosen.name), false),
    'other_schemas', (SELECT coalesce(json_agg(c.name ORDER BY c.position), '[]') FROM candidate AS c WHERE c.name <> chosen.name),
    'kind', t.relkind,
    'row_security', coalesce(t.relrowsecurity, false),
    'is_owner', coalesce(pg_has_role(t.relowner, 'USAGE'), false),
    'synchronous_commit', current_setting('synchronous_commit'),
    'supabase', (SELECT count(*) = 2 FROM pg_roles WHERE rolname IN ('anon', 'authenticated')),
    'unique_id', EXISTS (
        SELECT 1
        FROM pg_index i
        JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = i.indkey[0]
        WHERE i.indrelid = t.oid AND i.indisunique AND i.indisvalid AND i.indpred IS NULL
          AND i.indimmediate  -- ON CONFLICT takes no deferrable key
          AND i.indnkeyatts = 1 AND a.attname = 'id'),
    -- Each complete b-tree index with its keys in order: a column by its name, an expression as PostgreSQL writes it.
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
    -- Does row-level security hide all rows from this role, since no policy for SELECT applies to it?
    'sees_no_rows', coalesce(row_security_active(t.oid) AND NOT EXISTS (
        SELECT 1
        FROM pg_policy p
        WHERE p.polrelid = t.oid AND p.polcmd IN ('r', '*') AND p.polpermissive
          AND EXISTS (SELECT 1 FROM unnest(p.polroles) AS role WHERE role = 0 OR pg_has_role(role, 'USAGE'))), false),
    -- May this role insert into the ledger and the table of alerts? Under row-level security, a policy must also allow it.
    'can_write_ledger', (
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
    'session_index', EXISTS (
        SELECT 1
        FROM pg_index i
        JOIN pg_class c ON c.oid = i.indexrelid
        WHERE i.indrelid = t.oid AND i.indisvalid AND c.relname = 'token_usage_session_idx'),
    'columns', coalesce((
        SELECT json_agg(json_build_object(
            'name', a.attname,
            'type', regexp_replace(format_type(a.atttypid, NULL), '^"?\w+"?\.', ''),
            'generated', a.attgenerated <> '' OR a.attidentity = 'a',
            'not_null', a.attnotnull,
            'required', a.attnotnull AND NOT a.atthasdef AND a.attidentity = '' AND a.attgenerated = '',
            'typmod', a.atttypmod,
            'comment', col_description(t.oid, a.attnum)))
        FROM pg_attribute a
        WHERE a.attrelid = t.oid AND a.attnum > 0 AND NOT a.attisdropped), '[]'))
FROM chosen
LEFT JOIN pg_namespace n ON n.nspname = chosen.name
LEFT JOIN pg_class t ON t.relnamespace = n.oid AND t.relname = 'token_usage' AND t.relkind IN ('r', 'p', 'v', 'm', 'f');
