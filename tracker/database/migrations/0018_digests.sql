-- The digests that were sent, one row for each period and channel; a claim lets one process send it.
CREATE TABLE IF NOT EXISTS token_tracker_digests (
    period text NOT NULL,
    first_day date NOT NULL,
    channel text NOT NULL,
    claimed_at timestamptz NOT NULL DEFAULT now(),
    sent_at timestamptz,
    PRIMARY KEY (period, first_day, channel)
);
COMMENT ON TABLE token_tracker_digests IS 'The digests that were sent or claimed, so that each is sent once';
COMMENT ON COLUMN token_tracker_digests.channel IS 'A hash of the channel''s URL';
-- A role that may claim budget alerts may claim digests.
DO $$
DECLARE
    given record;
BEGIN
    FOR given IN
        SELECT DISTINCT CASE grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(grantee)) END AS grantee
        FROM pg_class, aclexplode(relacl) AS acl
        WHERE pg_class.oid = 'token_tracker_budget_alerts'::regclass AND acl.grantee <> relowner
          AND privilege_type = 'INSERT'
    LOOP
        EXECUTE 'GRANT SELECT, INSERT, UPDATE ON token_tracker_digests TO ' || given.grantee;
    END LOOP;
END
$$;
