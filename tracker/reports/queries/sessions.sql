-- Who holds the server's connections, of all its databases, and what are they doing?
-- Slots belong to the whole instance. Without pg_read_all_stats other roles' backend_type is hidden: then everything
-- that has a database counts. `is_asking` is the connection that runs this very question.
SELECT coalesce(nullif(application_name, ''), '(no name)') AS application_name,
       coalesce(usename::text, '(hidden)') AS user_name,
       coalesce(datname::text, '(none)') AS database_name,
       coalesce(state, 'hidden') AS state,
       pid = pg_backend_pid() AS is_asking,
       count(*) AS connections,
       max(extract(epoch FROM clock_timestamp() - state_change))::float8 AS longest_s
FROM pg_stat_activity
WHERE backend_type = 'client backend' OR (backend_type IS NULL AND datid IS NOT NULL)
GROUP BY 1, 2, 3, 4, 5
ORDER BY connections DESC, 1, 2, 3, 4;
