-- Usage totals by the values of indexed properties (keys of metadata), in buckets of 15, 60 and 1440 minutes of UTC.
CREATE TABLE IF NOT EXISTS token_tracker_property_rollup (
    minutes smallint NOT NULL,
    bucket timestamptz NOT NULL,
    generation integer NOT NULL DEFAULT 0,
    is_test boolean NOT NULL,
    is_sample boolean NOT NULL,
    property text NOT NULL,
    is_overflow boolean NOT NULL,
    value text,
    provider text,
    model text,
    calls bigint NOT NULL,
    calls_once bigint NOT NULL,
    failed_calls bigint NOT NULL,
    input_tokens bigint NOT NULL,
    output_tokens bigint NOT NULL,
    total_tokens bigint NOT NULL,
    cache_read_input_tokens bigint NOT NULL,
    cache_write_input_tokens bigint NOT NULL,
    reasoning_output_tokens bigint NOT NULL,
    cost numeric,
    unpriced_calls bigint NOT NULL,
    unpriced_tokens bigint NOT NULL,
    sample_calls bigint NOT NULL
);
CREATE INDEX IF NOT EXISTS token_tracker_property_rollup_idx ON token_tracker_property_rollup (property, minutes, bucket);
CREATE INDEX IF NOT EXISTS token_tracker_property_rollup_overflow_idx
    ON token_tracker_property_rollup (property, minutes, bucket) WHERE is_overflow;
COMMENT ON COLUMN token_tracker_property_rollup.value IS 'NULL: the key is missing or JSON null; a list counts under each value';
COMMENT ON COLUMN token_tracker_property_rollup.is_overflow IS 'The bucket has too many values: they are read from the rows';
COMMENT ON COLUMN token_tracker_property_rollup.calls_once IS 'Each call in one row only, also a call with a list of values';
-- The keys, and for each of them how far the backfill is.
CREATE TABLE IF NOT EXISTS token_tracker_properties (
    property text COLLATE "C" PRIMARY KEY CHECK (property <> ''),
    is_indexed boolean NOT NULL DEFAULT true,
    needs_purge boolean NOT NULL DEFAULT false,
    covered_from timestamptz NOT NULL DEFAULT 'infinity',
    indexed_at timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE token_tracker_properties IS 'Keys of metadata with a rollup; docs/rollups.md explains them';
COMMENT ON COLUMN token_tracker_properties.needs_purge IS 'The key was removed: the next refresh deletes its totals of existing rows';
COMMENT ON COLUMN token_tracker_properties.covered_from IS 'The rollup has all days from here on; the backfill continues with earlier days';
-- Roles that may read or refresh the usage rollup get the same privileges here.
DO $$
DECLARE
    given record;
BEGIN
    FOR given IN
        SELECT privilege_type, tables.name,
               CASE grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(grantee)) END AS grantee
        FROM pg_class, aclexplode(relacl) AS acl,
             (VALUES ('token_tracker_property_rollup'), ('token_tracker_properties')) AS tables (name)
        WHERE pg_class.oid = 'token_tracker_usage_rollup'::regclass AND acl.grantee <> relowner
    LOOP
        EXECUTE 'GRANT ' || given.privilege_type || ' ON ' || given.name || ' TO ' || given.grantee;
    END LOOP;
END
$$;
