-- How many sessions were opened, and how many transactions run, since the server's statistics began?
-- The sessions are counted since PostgreSQL 14; before, that is NULL.
SELECT extract(epoch FROM clock_timestamp())::float8 AS at_s,
       sum((to_jsonb(databases) ->> 'sessions')::bigint)::bigint AS sessions,
       sum(xact_commit + xact_rollback)::bigint AS transactions
FROM pg_stat_database AS databases;
