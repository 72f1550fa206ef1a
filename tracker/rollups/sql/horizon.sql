-- From which recorded_at on may there be rows that nobody else can see yet?
-- recorded_at is when a row's transaction began, so the oldest transaction still running decides; a second for one that
-- has begun and doesn't show yet. Autovacuum runs for long and inserts nothing. Where other roles' transactions are
-- hidden from this one, an hour back.
-- A stored horizon in the future means that the clock was set back: rows recorded since then may have any recorded_at.
\if :{?unseen_s} \else \set unseen_s 1 \endif
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
       ) - make_interval(secs => :unseen_s) AS horizon,
       (SELECT seen_until > clock_timestamp() FROM token_tracker_rollup_state) AS clock_was_set_back,
       (SELECT CASE WHEN seen_until > clock_timestamp() THEN '-infinity' ELSE (seen_until - interval '1 hour')::text END
        FROM token_tracker_rollup_state) AS recount_since;
