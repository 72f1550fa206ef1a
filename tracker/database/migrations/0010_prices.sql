-- Prices that were set on the dashboard's page, in USD per million tokens, and the changes of prices and budgets.
-- An empty provider or service tier means any provider, or the list price; the year 1 means from the first call on.
CREATE TABLE IF NOT EXISTS token_tracker_prices (
    model text NOT NULL CHECK (model <> ''),
    provider text NOT NULL DEFAULT '',
    service_tier text NOT NULL DEFAULT '',
    valid_from date NOT NULL DEFAULT '0001-01-01' CHECK (valid_from BETWEEN '0001-01-01' AND '9999-12-31'),
    input numeric CHECK (input BETWEEN 0 AND 1000000),
    output numeric CHECK (output BETWEEN 0 AND 1000000),
    cache_read numeric CHECK (cache_read BETWEEN 0 AND 1000000),
    cache_write numeric CHECK (cache_write BETWEEN 0 AND 1000000),
    reasoning numeric CHECK (reasoning BETWEEN 0 AND 1000000),
    same_as text CHECK (same_as <> ''),
    same_provider text CHECK (same_provider <> ''),
    updated_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (model, provider, service_tier, valid_from),
    CHECK ((same_as IS NULL) = (input IS NOT NULL AND output IS NOT NULL)),
    CHECK (same_as IS NULL OR coalesce(input, output, cache_read, cache_write, reasoning) IS NULL),
    CHECK (same_provider IS NULL OR same_as IS NOT NULL)
);
COMMENT ON TABLE token_tracker_prices IS 'Prices set on the dashboard, USD per million tokens; docs/prices.md explains them';
COMMENT ON COLUMN token_tracker_prices.model IS 'A * at the end matches any ending';
COMMENT ON COLUMN token_tracker_prices.same_as IS 'The model whose price also applies to this one';
CREATE TABLE IF NOT EXISTS token_tracker_setting_changes (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    changed_at timestamptz NOT NULL DEFAULT now(),
    changed_by text,
    access text NOT NULL,
    kind text NOT NULL,
    subject text NOT NULL,
    old_value jsonb,
    new_value jsonb
);
COMMENT ON TABLE token_tracker_setting_changes IS 'Who changed a price or a budget, when, and both values';
COMMENT ON COLUMN token_tracker_setting_changes.changed_by IS 'The address or name of the sign-in; NULL if it is not known';
COMMENT ON COLUMN token_tracker_setting_changes.access IS 'login, password, local, open, or command line';
COMMENT ON COLUMN token_tracker_setting_changes.kind IS 'price, budget, or past calls: costs were set by the current prices';
CREATE INDEX IF NOT EXISTS token_tracker_setting_changes_changed_at_idx ON token_tracker_setting_changes (changed_at);
-- A role with privileges on the budgets gets the same on the prices; a role that sets costs reads the prices.
DO $$
DECLARE
    given record;
BEGIN
    FOR given IN
        SELECT DISTINCT tables.name,
               CASE WHEN pg_class.relname = 'token_usage' THEN 'SELECT'
                    WHEN tables.name = 'token_tracker_setting_changes' AND privilege_type IN ('UPDATE', 'DELETE') THEN 'INSERT'
                    ELSE privilege_type END AS privilege,
               CASE grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(grantee)) END AS grantee
        FROM pg_class, aclexplode(relacl) AS acl, (VALUES ('token_tracker_prices'), ('token_tracker_setting_changes')) AS tables (name)
        WHERE acl.grantee <> relowner AND privilege_type IN ('SELECT', 'INSERT', 'UPDATE', 'DELETE')
          AND (pg_class.oid = 'token_tracker_budgets'::regclass
               OR pg_class.oid = 'token_usage'::regclass AND privilege_type = 'UPDATE' AND tables.name = 'token_tracker_prices')
    LOOP
        EXECUTE 'GRANT ' || given.privilege || ' ON ' || given.name || ' TO ' || given.grantee;
    END LOOP;
END
$$;
