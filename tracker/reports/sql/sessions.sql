-- Which client sessions does the server have, in all databases, and which of them block others?
-- Without pg_read_all_stats the backend_type of other roles is hidden: then all sessions with a database count.
-- pg_blocking_pids takes a lock of the lock manager, so it is called for waiting sessions only.
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
