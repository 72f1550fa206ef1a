-- From which recorded_at on can there be rows that other transactions don't see yet?
-- recorded_at is the start of the inserting transaction, so the horizon is the start of the oldest running transaction,
-- less a second for a transaction that pg_stat_activity doesn't list yet. Autovacuum workers insert nothing. If this role
-- can't see the transactions of other roles, the horizon is one hour ago.
-- A stored seen_until in the future means that the clock was set back: rows inserted since can have any recorded_at.
\if :{?visibility_lag_s} \else \set visibility_lag_s 1 \endif
SELECT least(
           clock_timestamp(),
           (SELECT min(xact_start) FROM pg_stat_activity
            WHERE datname = current_database() AND pid <> pg_backend_pid()
              AND backend_type IS DISTINCT FROM 'autovacuum worker'),
           (SELECT clock_timestamp() - interval '1 hour' FROM pg_stat_activity
            WHERE datname = current_database() AND usesysid IS NOT NULL AND NOT pg_has_role(usesysid, 'USAGE')
              AND NOT pg_has_role(current_user, 'pg_read_all_stats', 'USAGE')
            LIMIT 1),
           (SELECT min(prepared) - interval '1 hour' FROM pg_prepared_xacts WHERE database = current_database())
       ) - make_interval(secs => :visibility_lag_s) AS horizon,
       (SELECT seen_until > clock_timestamp() FROM token_tracker_rollup_state) AS clock_was_set_back,
       (SELECT CASE WHEN seen_until > clock_timestamp() THEN '-infinity' ELSE (seen_until - interval '1 hour')::text END
        FROM token_tracker_rollup_state) AS recount_since;
