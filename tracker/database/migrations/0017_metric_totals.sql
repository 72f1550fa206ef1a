-- The counters of GET /metrics: for each label set the exported totals, which never fall, and the sums they were made from.
CREATE TABLE IF NOT EXISTS token_tracker_metric_totals (
    provider text COLLATE "C" NOT NULL,
    model text COLLATE "C" NOT NULL,
    operation text COLLATE "C" NOT NULL,
    environment text COLLATE "C" NOT NULL,
    is_remainder boolean NOT NULL DEFAULT false,
    exported jsonb NOT NULL,
    counted jsonb NOT NULL,
    PRIMARY KEY (provider, model, operation, environment, is_remainder)
);
COMMENT ON TABLE token_tracker_metric_totals IS 'Totals that GET /metrics exports; they grow only, also when calls are removed';
COMMENT ON COLUMN token_tracker_metric_totals.is_remainder IS 'The sum of all label sets that have no row of their own';
COMMENT ON COLUMN token_tracker_metric_totals.counted IS 'The sums of the calls at the last scrape; exported grows by their increase';
-- A role with privileges on the rollups gets the same on the totals.
DO $$
DECLARE
    given record;
BEGIN
    FOR given IN
        SELECT privilege_type, CASE grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(grantee)) END AS grantee
        FROM pg_class, aclexplode(relacl) AS acl
        WHERE pg_class.oid = 'token_tracker_usage_rollup'::regclass AND acl.grantee <> relowner
          AND privilege_type IN ('SELECT', 'INSERT', 'UPDATE', 'DELETE')
    LOOP
        EXECUTE 'GRANT ' || given.privilege_type || ' ON token_tracker_metric_totals TO ' || given.grantee;
    END LOOP;
END
$$;
