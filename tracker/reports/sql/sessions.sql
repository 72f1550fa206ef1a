-- Who holds the server's connections, of all its databases, what is each doing, and who waits for whom?
-- Slots belong to the whole instance. Without pg_read_all_stats other roles' backend_type is hidden: then everything
-- that has a database counts. `is_own_backend` is the connection that runs this very question. Asking who blocks takes a
-- lock of the server's own, so only those who wait for one are asked about.
SELECT pid,
       coalesce(nullif(application_name, ''), '(no name)') AS application_name,
       coalesce(usename::text, '(hidden)') AS user_name,
       coalesce(datname::text, '(none)') AS database_name,
       coalesce(state, 'hidden') AS state,
       backend_start,
       extract(epoch FROM clock_timestamp() - state_change)::float8 AS state_s,
       extract(epoch FROM clock_timestamp() - xact_start)::float8 AS transaction_s,
       CASE WHEN state = 'active' THEN concat_ws(': ', wait_event_type, wait_event) ELSE '' END AS waits_for,
       CASE WHEN wait_event_type = 'Lock' THEN pg_blocking_pids(pid) ELSE '{}' END AS blocked_by,
       left(query, 300) AS query,
       pid = pg_backend_pid() AS is_own_backend,
       coalesce(roles.rolsuper, true) AS is_superuser,
       coalesce(pg_has_role(current_user, usesysid, 'MEMBER')
                OR pg_has_role(current_user, 'pg_signal_backend', 'MEMBER'), false) AS may_signal
FROM pg_stat_activity AS activity
LEFT JOIN pg_roles AS roles ON roles.oid = activity.usesysid
WHERE backend_type = 'client backend' OR (backend_type IS NULL AND datid IS NOT NULL)
ORDER BY state_change DESC NULLS LAST, pid;
