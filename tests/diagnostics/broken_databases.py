"""Broken setups of the database: tables, columns, privileges, locks and read-only sessions."""

from __future__ import annotations

from setup_registry import SetupRegistry, url
from support import locked, run, with_parameters, with_role

from tracker.database.url import clean

SETUPS = SetupRegistry()
causes = SETUPS.causes


@causes("table_missing")
def no_table(setup):
    return url(setup.empty_url)


@causes("schema_missing")
def no_schema(setup):
    return url(with_parameters(setup.url, "schema=nowhere"))


@causes("column_missing")
def table_that_was_not_migrated(setup):
    run(
        setup.empty_url,
        "CREATE TABLE token_usage (id uuid PRIMARY KEY DEFAULT gen_random_uuid(), created_at timestamptz DEFAULT now(),"
        " user_id text NOT NULL, model text NOT NULL, operation text, input_tokens int, output_tokens int,"
        " total_tokens int, cost numeric(10,6))",
    )
    return url(setup.empty_url)


@causes("column_missing")
def column_that_was_dropped(setup):
    run(setup.plain_url, "ALTER TABLE token_usage DROP COLUMN delivery")
    return url(setup.url)


@causes("right_missing")
def no_right_to_insert(setup):
    role = setup.new_role()
    run(setup.plain_url, f"GRANT SELECT ON token_usage TO {role}")
    return url(setup.of_role(role))


@causes("right_missing")
def no_right_to_select(setup):
    role = setup.new_role()
    run(setup.plain_url, f"GRANT INSERT ON token_usage TO {role}")
    return url(setup.of_role(role))


@causes("right_missing")
def no_right_to_the_schema(setup):
    role = setup.new_role()
    run(setup.plain_url, f"GRANT SELECT, INSERT ON token_usage TO {role}", "REVOKE USAGE ON SCHEMA public FROM PUBLIC")
    return url(setup.of_role(role))


@causes("right_missing")
def row_level_security_without_a_policy(setup):
    role = setup.new_role()
    run(
        setup.plain_url,
        f"GRANT SELECT, INSERT ON token_usage TO {role}",
        "ALTER TABLE token_usage ENABLE ROW LEVEL SECURITY",
    )
    return url(setup.of_role(role))


@causes("right_missing")
def row_level_security_with_a_policy_only_for_inserts(setup):
    role = setup.new_role()
    run(
        setup.plain_url,
        f"GRANT SELECT, INSERT ON token_usage TO {role}",
        "ALTER TABLE token_usage ENABLE ROW LEVEL SECURITY",
        f"CREATE POLICY inserts ON token_usage FOR INSERT TO {role} WITH CHECK (true)",
    )
    return url(setup.of_role(role))


@causes("not_adoptable")
def id_that_is_not_unique(setup):
    run(setup.plain_url, "ALTER TABLE token_usage DROP CONSTRAINT token_usage_pkey")
    return url(setup.url)


@causes("not_adoptable")
def view_instead_of_the_table(setup):
    run(
        setup.plain_url,
        "ALTER TABLE token_usage RENAME TO calls",
        "CREATE VIEW token_usage AS SELECT DISTINCT * FROM calls",
    )
    return url(setup.url)


@causes("not_adoptable")
def column_that_every_insert_must_name(setup):
    run(setup.plain_url, "ALTER TABLE token_usage ADD COLUMN note_id bigint NOT NULL")
    return url(setup.url)


@causes("duplicate_indexes")
def indexes_that_an_earlier_version_built_twice(setup):
    run(
        setup.plain_url,
        "CREATE INDEX token_usage_created_at_idx1 ON token_usage (created_at)",
        "CREATE INDEX token_usage_user_id_created_at_idx1 ON token_usage (user_id, created_at)",
    )
    return url(setup.url)


@causes("constraint_violated")
def constraint_that_refuses_records(setup):
    run(setup.plain_url, "ALTER TABLE token_usage ADD CHECK (user_id LIKE 'u@_%' ESCAPE '@')")
    return url(setup.url)


@causes("defaults_refused")
def foreign_key_that_the_default_user_violates(setup):
    run(
        setup.plain_url,
        "CREATE TABLE users (id text PRIMARY KEY)",
        "INSERT INTO users VALUES ('u1')",
        "INSERT INTO token_usage (user_id, model, input_tokens, output_tokens, total_tokens)"
        " VALUES ('u1', 'gpt-4o', 1, 1, 2)",
        "ALTER TABLE token_usage ADD FOREIGN KEY (user_id) REFERENCES users (id)",
    )
    return url(setup.url)


@causes("undated_rows")
def rows_without_a_time(setup):
    run(
        setup.plain_url,
        "ALTER TABLE token_usage ALTER COLUMN created_at DROP NOT NULL",
        "INSERT INTO token_usage (created_at, model, input_tokens, output_tokens, total_tokens)"
        " VALUES (NULL, 'gpt-4o', 1, 1, 2)",
    )
    return url(setup.url)


@causes("two_tables")
def table_in_another_schema_too(setup):
    name = clean(setup.plain_url).dbname
    run(
        setup.plain_url,
        "CREATE SCHEMA ai",
        "CREATE TABLE ai.token_usage (LIKE public.token_usage INCLUDING ALL)",
        f"ALTER ROLE {setup.role} IN DATABASE {name} SET search_path = ai, public",
    )
    return url(setup.url)


@causes("replica_identity_missing")
def tables_that_are_published(setup):
    run(setup.plain_url, "CREATE PUBLICATION everything FOR ALL TABLES")
    return url(setup.url)


@causes("locked")
def locked_table(setup):
    setup.stack.enter_context(locked(setup.plain_url))
    return url(setup.url)


@causes("read_only")
def read_only_replica(setup):
    return url(with_role(setup.fixture("standby_url")(setup.plain_url), "postgres"))


@causes("read_only_default")
def role_with_read_only_sessions(setup):
    role = setup.new_role()
    run(
        setup.plain_url,
        f"GRANT SELECT, INSERT ON token_usage TO {role}",
        f"ALTER ROLE {role} SET default_transaction_read_only = on",
    )
    return url(setup.of_role(role))


@causes("migration_pending")
def tables_of_an_earlier_version(setup):
    run(
        setup.plain_url,
        "DROP TABLE token_tracker_ledger, token_tracker_alerts",
        "DELETE FROM token_tracker_migrations WHERE version = 3",
    )
    return url(setup.url)
