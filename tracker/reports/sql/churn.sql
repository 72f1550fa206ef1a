-- How many sessions and transactions were there since the statistics were reset?
-- PostgreSQL 13 and older don't count sessions: NULL.
SELECT extract(epoch FROM clock_timestamp())::float8 AS at_s,
       sum((to_jsonb(databases) ->> 'sessions')::bigint)::bigint AS sessions,
       sum(xact_commit + xact_rollback)::bigint AS transactions
FROM pg_stat_database AS databases;
