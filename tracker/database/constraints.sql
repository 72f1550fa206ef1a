-- Which values does token_usage refuse because of its owner's foreign keys, CHECKs, and text lengths?
SELECT json_build_object(
    'lengths', (
        SELECT coalesce(json_object_agg(a.attname, a.atttypmod - 4), '{}')
        FROM pg_attribute a
        WHERE a.attrelid = t.oid AND a.attnum > 0 AND NOT a.attisdropped AND a.atttypmod > 4
          AND a.atttypid IN ('varchar'::regtype, 'bpchar'::regtype)),
    'types', (
        SELECT json_object_agg(a.attname, format_type(a.atttypid, a.atttypmod))
        FROM pg_attribute a
        WHERE a.attrelid = t.oid AND a.attnum > 0 AND NOT a.attisdropped),
    'constraints', (
        SELECT coalesce(json_agg(json_build_object(
            'name', c.conname,
            'kind', c.contype,
            'columns', (SELECT json_agg(a.attname ORDER BY k.position)
                        FROM unnest(c.conkey) WITH ORDINALITY AS k (attnum, position)
                        JOIN pg_attribute a ON a.attrelid = t.oid AND a.attnum = k.attnum),
            'definition', pg_get_constraintdef(c.oid),
            'expression', pg_get_expr(c.conbin, c.conrelid),
            'target', c.confrelid::regclass::text,
            'target_columns', (SELECT json_agg(a.attname ORDER BY k.position)
                               FROM unnest(c.confkey) WITH ORDINALITY AS k (attnum, position)
                               JOIN pg_attribute a ON a.attrelid = c.confrelid AND a.attnum = k.attnum)
        ) ORDER BY c.conname), '[]')
        FROM pg_constraint c
        WHERE c.conrelid = t.oid AND c.contype IN ('f', 'c')))
FROM pg_class t
JOIN pg_namespace n ON n.oid = t.relnamespace
WHERE n.nspname = %(schema)s AND t.relname = 'token_usage' AND t.relkind IN ('r', 'p');
