-- The first call of each deployment, for the marks of the charts.
CREATE TABLE IF NOT EXISTS token_tracker_deployments (
    deployment text NOT NULL,
    environment text NOT NULL DEFAULT '',
    first_at timestamptz NOT NULL,
    PRIMARY KEY (deployment, environment)
);
CREATE INDEX IF NOT EXISTS token_tracker_deployments_first_at_idx ON token_tracker_deployments (first_at);
COMMENT ON TABLE token_tracker_deployments IS 'The first call of each deployment; the refresh of the rollups adds new ones';
COMMENT ON COLUMN token_tracker_deployments.environment IS 'Empty if the calls have none';
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
        EXECUTE 'GRANT ' || given.privilege_type || ' ON token_tracker_deployments TO ' || given.grantee;
    END LOOP;
END
$$;
-- A refresh that runs at this time ends first, so that no new deployment is missed.
SELECT one FROM token_tracker_rollup_state FOR UPDATE;
