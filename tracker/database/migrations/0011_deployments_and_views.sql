-- The first call of each deployment, for the marks of the charts, and the views that were saved on the pages.
CREATE TABLE IF NOT EXISTS token_tracker_deployments (
    deployment text NOT NULL,
    environment text NOT NULL DEFAULT '',
    first_at timestamptz NOT NULL,
    PRIMARY KEY (deployment, environment)
);
CREATE INDEX IF NOT EXISTS token_tracker_deployments_first_at_idx ON token_tracker_deployments (first_at);
COMMENT ON TABLE token_tracker_deployments IS 'The first call of each deployment; the refresh of the rollups adds new ones';
COMMENT ON COLUMN token_tracker_deployments.environment IS 'Empty if the calls have none';
-- In the collation C, names that differ in case or in accents are different on each server.
CREATE TABLE IF NOT EXISTS token_tracker_saved_views (
    name text COLLATE "C" PRIMARY KEY CHECK (name <> ''),
    page text NOT NULL,
    parameters jsonb NOT NULL,
    saved_at timestamptz NOT NULL DEFAULT now(),
    saved_by text
);
COMMENT ON TABLE token_tracker_saved_views IS 'Pages of the dashboard with their range, filters and dimensions, for all its readers';
COMMENT ON COLUMN token_tracker_saved_views.parameters IS 'Parameters of the address bar';
COMMENT ON COLUMN token_tracker_saved_views.saved_by IS 'The email address of the sign-in; NULL if it has none';
-- Roles that may read or refresh the usage rollup get the same privileges on the deployments. Saved views need a grant
-- of their own, but each role that reads the rollups may read them.
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
        IF given.privilege_type = 'SELECT' THEN
            EXECUTE 'GRANT SELECT ON token_tracker_saved_views TO ' || given.grantee;
        END IF;
    END LOOP;
END
$$;
-- A refresh that runs at this time ends first, so that no new deployment is missed.
SELECT one FROM token_tracker_rollup_state FOR UPDATE;
