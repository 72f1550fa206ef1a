-- Was the query of this session cancelled, or the session terminated?
-- No row: the session has ended, or it is one of this dashboard or a superuser.
-- In psql, first: \set pid 4711  \set backend_start '\'2026-03-01 12:00:00+00\''  \set terminate true
\if :{?pid} \else \set pid 0 \endif
\if :{?backend_start} \else \set backend_start '\'-infinity\'' \endif
\if :{?terminate} \else \set terminate false \endif
\if :{?own_name} \else \set own_name '\'\'' \endif
SELECT CASE WHEN CAST(:terminate AS boolean) THEN pg_terminate_backend(pid) ELSE pg_cancel_backend(pid) END AS done
FROM pg_stat_activity AS activity
JOIN pg_roles AS roles ON roles.oid = activity.usesysid
WHERE pid = CAST(:pid AS integer) AND backend_start = CAST(:backend_start AS timestamptz)
  AND pid <> pg_backend_pid() AND NOT roles.rolsuper
  AND application_name <> :own_name AND application_name NOT LIKE 'token-tracker dashboard%';
