-- Calls without a cost or with inconsistent usage, by the reason, in buckets of 15, 60 and 1440 minutes of UTC.
-- usage_problem and usage_source come from the rows' metadata, reason from their cost_source.
CREATE TABLE IF NOT EXISTS token_tracker_unpriced_rollup (
    minutes smallint NOT NULL,
    bucket timestamptz NOT NULL,
    generation integer NOT NULL DEFAULT 0,
    is_test boolean NOT NULL,
    provider text,
    model text,
    operation text,
    environment text,
    usage_problem text,
    usage_source text,
    reason text,
    calls bigint NOT NULL,
    total_tokens bigint NOT NULL,
    unpriced_calls bigint NOT NULL,
    unpriced_tokens bigint NOT NULL,
    is_sample boolean NOT NULL DEFAULT false
);
CREATE INDEX IF NOT EXISTS token_tracker_unpriced_rollup_idx ON token_tracker_unpriced_rollup (minutes, bucket);
-- Roles that may read or refresh the usage rollup get the same privileges here.
DO $$
DECLARE
    given record;
BEGIN
    FOR given IN
        SELECT privilege_type, CASE grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(grantee)) END AS grantee
        FROM pg_class, aclexplode(relacl) AS acl
        WHERE pg_class.oid = 'token_tracker_usage_rollup'::regclass AND acl.grantee <> relowner
    LOOP
        EXECUTE 'GRANT ' || given.privilege_type || ' ON token_tracker_unpriced_rollup TO ' || given.grantee;
    END LOOP;
END
$$;
-- A refresh that runs at this time ends first, so that no bucket is missed.
SELECT one FROM token_tracker_rollup_state FOR UPDATE;
-- A database of an earlier version gets the column here, before 0012_samples.sql.
ALTER TABLE token_tracker_usage_rollup ADD COLUMN IF NOT EXISTS is_sample boolean NOT NULL DEFAULT false;
-- Earlier versions kept only the number of calls without a cost; `token-tracker reprice` adds the reasons.
INSERT INTO token_tracker_unpriced_rollup (minutes, bucket, generation, is_test, provider, model, operation, environment,
                                           calls, total_tokens, unpriced_calls, unpriced_tokens, is_sample)
SELECT minutes, bucket, generation, is_test, provider, model, operation, environment,
       unpriced_calls, unpriced_tokens, unpriced_calls, unpriced_tokens, is_sample
FROM token_tracker_usage_rollup AS rollup
WHERE unpriced_calls > 0 AND NOT EXISTS (SELECT FROM token_tracker_unpriced_rollup);
