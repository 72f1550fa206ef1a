-- Views that were saved on the dashboard: a page with its range, filters and dimensions, for all readers.
-- In the collation C, names that differ in case or in accents are different on each server.
CREATE TABLE IF NOT EXISTS token_tracker_saved_views (
    name text COLLATE "C" PRIMARY KEY CHECK (name <> ''),
    page text NOT NULL,
    parameters jsonb NOT NULL,
    saved_at timestamptz NOT NULL DEFAULT now(),
    saved_by text
);
COMMENT ON TABLE token_tracker_saved_views IS 'Views of the dashboard that were saved under a name, for all its readers';
COMMENT ON COLUMN token_tracker_saved_views.parameters IS 'Parameters of the address bar, without time zone and language';
COMMENT ON COLUMN token_tracker_saved_views.saved_by IS 'The address or name of the sign-in; NULL if it is not known';
-- A role with privileges on the budgets gets the same on the views; a role that reads the rollups may read them.
DO $$
DECLARE
    given record;
BEGIN
    FOR given IN
        SELECT DISTINCT privilege_type,
               CASE grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(grantee)) END AS grantee
        FROM pg_class, aclexplode(relacl) AS acl
        WHERE acl.grantee <> relowner AND privilege_type IN ('SELECT', 'INSERT', 'UPDATE', 'DELETE')
          AND (pg_class.oid = 'token_tracker_budgets'::regclass
               OR pg_class.oid = 'token_tracker_usage_rollup'::regclass AND privilege_type = 'SELECT')
    LOOP
        EXECUTE 'GRANT ' || given.privilege_type || ' ON token_tracker_saved_views TO ' || given.grantee;
    END LOOP;
END
$$;
