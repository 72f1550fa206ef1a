-- The users' rollup without its 15-minute buckets, for queries of whole days: their time must not grow with the number
-- of calls of a user per day. `slots` are the buckets that have calls.
CREATE TABLE IF NOT EXISTS token_tracker_user_day_rollup (
    day timestamptz NOT NULL,
    generation integer NOT NULL DEFAULT 0,
    is_test boolean NOT NULL,
    first_slot smallint NOT NULL,
    last_slot smallint NOT NULL,
    user_id text,
    calls bigint NOT NULL,
    total_tokens bigint NOT NULL,
    cost numeric,
    unpriced_calls bigint NOT NULL,
    slots smallint[] NOT NULL,
    is_sample boolean NOT NULL DEFAULT false
);
CREATE INDEX IF NOT EXISTS token_tracker_user_day_rollup_day_idx ON token_tracker_user_day_rollup (day);
-- Roles that may read or refresh the users' rollup get the same privileges here.
DO $$
DECLARE
    given record;
BEGIN
    FOR given IN
        SELECT privilege_type, CASE grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(grantee)) END AS grantee
        FROM pg_class, aclexplode(relacl) AS acl
        WHERE pg_class.oid = 'token_tracker_user_rollup'::regclass AND acl.grantee <> relowner
    LOOP
        EXECUTE 'GRANT ' || given.privilege_type || ' ON token_tracker_user_day_rollup TO ' || given.grantee;
    END LOOP;
END
$$;
-- A refresh that runs at this time ends first, so that no bucket is missed.
SELECT one FROM token_tracker_rollup_state FOR UPDATE;
-- A database of an earlier version gets the column here, before 0012_samples.sql.
ALTER TABLE token_tracker_user_rollup ADD COLUMN IF NOT EXISTS is_sample boolean NOT NULL DEFAULT false;
INSERT INTO token_tracker_user_day_rollup
SELECT day, generation, is_test, first_slot, last_slot, user_id, calls, total_tokens, cost, unpriced_calls, slots, is_sample
FROM token_tracker_user_rollup AS rollup
WHERE NOT EXISTS (SELECT FROM token_tracker_user_day_rollup);
