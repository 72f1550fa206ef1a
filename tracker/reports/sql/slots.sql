-- What are the connection limits of the server, this role and this database?
SELECT current_setting('max_connections')::int AS max_connections,
       current_setting('superuser_reserved_connections')::int
         + coalesce(current_setting('reserved_connections', true)::int, 0) AS reserved_connections,
       pg_has_role(current_user, 'pg_read_all_stats', 'USAGE') AS sees_all,
       current_user::text AS role_name,
       nullif(roles.rolconnlimit, -1) AS role_limit,
       nullif(databases.datconnlimit, -1) AS database_limit,
       current_database()::text AS database_name
FROM pg_roles AS roles, pg_database AS databases
WHERE roles.rolname = current_user AND databases.datname = current_database();
