-- Which Token Tracker tables are published for UPDATE or DELETE without a replica identity, so that both are refused?
SELECT c.relname,
       (SELECT k.relname
        FROM pg_index i
        JOIN pg_class k ON k.oid = i.indexrelid
        JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = i.indkey[0]
        WHERE i.indrelid = c.oid AND i.indisunique AND i.indisvalid AND i.indimmediate AND i.indpred IS NULL
          AND i.indnkeyatts = 1 AND a.attname = 'id' AND a.attnotnull
        ORDER BY k.relname
        LIMIT 1) AS unique_id_index
FROM pg_class c
JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname = %(schema)s AND c.relkind IN ('r', 'p')
  AND (c.relname = 'token_usage' OR c.relname LIKE 'token\_tracker\_%%')
  AND (c.relreplident = 'n'
       OR (c.relreplident = 'd' AND NOT EXISTS (SELECT 1 FROM pg_index p WHERE p.indrelid = c.oid AND p.indisprimary))
       OR (c.relreplident = 'i' AND NOT EXISTS (SELECT 1 FROM pg_index p WHERE p.indrelid = c.oid AND p.indisreplident)))
  AND EXISTS (
      SELECT 1
      FROM pg_publication_tables published
      JOIN pg_publication p USING (pubname)
      WHERE published.schemaname = n.nspname AND published.tablename = c.relname AND (p.pubupdate OR p.pubdelete))
ORDER BY c.relname;
