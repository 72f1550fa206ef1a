-- What are the server's version, write mode, clock, and connection limits?
-- A missing right hides the details of other sessions, but not their number.
SELECT current_setting('server_version') AS version,
       pg_is_in_recovery() AS in_recovery,
       current_setting('default_transaction_read_only')::boolean AS read_only_default,
       extract(epoch FROM clock_timestamp())::float8 AS clock_s,
       NOT EXISTS (SELECT 1 FROM pg_namespace
                   WHERE nspname = btrim(split_part(current_setting('search_path'), ',', 1), '"'))
         AS schema_missing,
       current_setting('max_connections')::int AS max_connections,
       current_setting('superuser_reserved_connections')::int
         + coalesce(current_setting('reserved_connections', true)::int, 0) AS reserved_connections,
       (SELECT count(*) FROM pg_stat_activity
        WHERE backend_type = 'client backend' OR (backend_type IS NULL AND datid IS NOT NULL))::int AS used_connections,
       nullif(roles.rolconnlimit, -1) AS role_limit,
       (SELECT count(*) FROM pg_stat_activity WHERE usename = current_user)::int AS role_used,
       nullif(databases.datconnlimit, -1) AS database_limit,
       (SELECT count(*) FROM pg_stat_activity
        WHERE datname = current_database() AND (backend_type = 'client backend' OR backend_type IS NULL))::int
         AS database_used
FROM pg_roles AS roles, pg_database AS databases
WHERE roles.rolname = current_user AND databases.datname = current_database();
