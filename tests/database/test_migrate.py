"""Migrations bring a new database and an adopted table to the same schema, also in parallel, and lose no data."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import UTC, datetime
from uuid import UUID

import psycopg2
import pytest
from support import (
    a_call,
    connect,
    eventually,
    leave_behind,
    locked,
    rows,
    run,
    set_default,
    value,
    with_parameters,
    with_role,
)

from tracker import Tracker
from tracker.database.migrate import migrate as migrate_with
from tracker.database.migrations import FILES, VERSIONS
from tracker.database.schema import COLUMNS, read_table
from tracker.database.url import clean
from tracker.errors import SettingError, SetupError
from tracker.rollups import rollup_tables as rollup_tables

# The table of the user's document, as their TypeScript app made it.
OLD_TABLE = """
CREATE TABLE token_usage (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    user_id text,
    note_id uuid,
    model text NOT NULL,
    operation text,
    input_tokens integer NOT NULL,
    output_tokens integer NOT NULL,
    total_tokens integer NOT NULL,
    cost numeric(10,6),
    processing_time integer,
    success boolean DEFAULT true,
    error_message text,
    created_at timestamp DEFAULT now() NOT NULL
)"""
OLD_INDEX = "CREATE INDEX idx_usage_note ON token_usage (note_id, created_at)"
OLD_INSERT = (
    "INSERT INTO token_usage (user_id, note_id, model, operation, input_tokens, output_tokens, total_tokens, cost)"
    " VALUES (NULL, '0b0e0000-0000-4000-8000-000000000001', 'gemini-2.0-flash', NULL, 10, 5, 15, 0.000125)"
)
# So many that an index is built beside the table's writers.
MANY_ROWS = OLD_INSERT.replace("VALUES (", "SELECT ").removesuffix(")") + " FROM generate_series(1, 20000)"
OTHER_STEPS = [
    *(f"{version:04} {name}" for version, name in FILES.items()),
    "0002 index_token_usage",
]
OURS = (
    "token_tracker_migrations",
    "token_tracker_ledger",
    "token_tracker_alerts",
    "token_tracker_spans",
    "token_tracker_span_calls",
    "token_tracker_span_state",
    "token_tracker_unread",
    "token_tracker_budgets",
    "token_tracker_budget_alerts",
    *rollup_tables.ALL,
)
COLUMN_FACTS = """
SELECT a.attname, format_type(a.atttypid, NULL), pg_get_expr(d.adbin, d.adrelid)
FROM pg_attribute a LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
WHERE a.attrelid = 'token_usage'::regclass AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum"""
INDEXES = "SELECT indexname FROM pg_indexes WHERE tablename = 'token_usage' ORDER BY 1"
# Everything a database holds of ours: what a run that changes nothing must leave as it is.
WHOLE_SCHEMA = """
SELECT c.relname, c.relkind::text, a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull,
       col_description(c.oid, a.attnum), c.relrowsecurity, c.relacl::text
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
LEFT JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0
WHERE n.nspname NOT IN ('pg_catalog', 'information_schema', 'pg_toast') ORDER BY 1, 3"""


def migrate(url: str, schema: str | None = None, **options):
    return migrate_with(lambda: connect(url), schema, **options)


@pytest.fixture
def old_url(empty_database_url) -> str:
    """A database with the user's own table and three rows from before."""
    run(empty_database_url, OLD_TABLE, OLD_INDEX, *[OLD_INSERT] * 3)
    return empty_database_url


def schema_of(url: str) -> list[tuple]:
    return rows(url, WHOLE_SCHEMA)


# --- a fresh database ---------------------------------------------------------------------------------------------


def test_a_fresh_database_gets_the_table(empty_database_url):
    done = migrate(empty_database_url)
    assert done.applied == ["0001 create_token_usage", *OTHER_STEPS]
    assert value(empty_database_url, "SELECT count(*) FROM token_usage") == 0


def test_a_fresh_table_and_the_list_of_columns_agree_in_names_types_and_defaults(database_url):
    def plain(expression):
        return expression and expression.split("::")[0]

    found = [(name, kind, plain(default)) for name, kind, default in rows(database_url, COLUMN_FACTS)]
    assert found == [(column.name, column.type, column.default) for column in COLUMNS]


def test_a_fresh_table_and_an_adopted_one_have_the_same_columns_and_defaults(database_url, old_url):
    migrate(old_url)
    fresh = {name: default for name, _, default in rows(database_url, COLUMN_FACTS)}
    adopted = {name: default for name, _, default in rows(old_url, COLUMN_FACTS)}
    assert set(adopted) - set(fresh) == {"note_id"}
    old = {"user_id", "operation"}  # a default of their own, or none: theirs stays as it is
    assert {name: default for name, default in fresh.items() if name not in old} == {
        name: default for name, default in adopted.items() if name in fresh and name not in old
    }


def test_a_second_run_does_nothing(empty_database_url):
    migrate(empty_database_url)
    before = schema_of(empty_database_url)
    done = migrate(empty_database_url)
    assert (done.applied, done.statements) == ([], [])
    assert schema_of(empty_database_url) == before


def test_each_step_is_in_the_ledger_once(empty_database_url):
    migrate(empty_database_url)
    migrate(empty_database_url)
    assert rows(empty_database_url, "SELECT version, name FROM token_tracker_migrations ORDER BY 1") == [
        (1, "create_token_usage"),
        (2, "index_token_usage"),
        *FILES.items(),
    ]


def test_a_dry_run_on_a_fresh_database_lists_the_sql_and_changes_nothing(empty_database_url):
    done = migrate(empty_database_url, dry_run=True)
    assert any("CREATE TABLE IF NOT EXISTS token_usage" in statement for statement in done.statements)
    assert schema_of(empty_database_url) == []


def test_a_dry_run_on_an_old_table_lists_the_sql_and_changes_nothing(old_url):
    before = schema_of(old_url)
    done = migrate(old_url, dry_run=True)
    assert any("ADD COLUMN metadata" in statement for statement in done.statements)
    assert any("CREATE INDEX token_usage_created_at_idx" in statement for statement in done.statements)
    assert schema_of(old_url) == before


def test_a_dry_run_on_a_migrated_database_has_nothing_to_list(database_url):
    assert migrate(database_url, dry_run=True).statements == []


@pytest.mark.parametrize("fixture", ["empty_database_url", "old_url"])
def test_two_runs_at_once_both_succeed(fixture, request):
    url = request.getfixturevalue(fixture)
    together = threading.Barrier(4)

    def one(_):
        together.wait()
        return migrate(url)

    with ThreadPoolExecutor(4) as pool:
        done = list(pool.map(one, range(4)))
    assert sorted(int(name[:4]) for result in done for name in result.applied) == sorted(VERSIONS)
    assert value(url, "SELECT count(*) FROM pg_index WHERE NOT indisvalid") == 0


@pytest.mark.pooler
@pytest.mark.parametrize("fixture", ["empty_database_url", "old_url"])
def test_two_runs_at_once_behind_a_transaction_pooler_both_succeed(fixture, request, pooler):
    url = request.getfixturevalue(fixture)
    with ThreadPoolExecutor(2) as pool:
        done = list(pool.map(lambda _: migrate(pooler(url)), range(2)))
    assert sorted(int(name[:4]) for result in done for name in result.applied) == sorted(VERSIONS)
    with Tracker(mode="direct", database_url=url) as recorder:
        assert recorder.record(a_call()).status == "recorded"


@pytest.mark.pooler
def test_migrating_behind_a_pooler_leaves_no_setting_and_no_lock_behind(empty_database_url, pooler):
    through = pooler(empty_database_url)
    migrate(through)
    for _ in range(5):
        assert rows(through, "SELECT current_setting('search_path'), current_setting('lock_timeout')") == [
            ('"$user", public', "0")
        ]
    held = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'"
    eventually(lambda: value(empty_database_url, held) == 0)


@pytest.mark.pooler
@pytest.mark.parametrize(
    "left_behind", ["SET default_transaction_read_only = on", "SET statement_timeout = 5", "SET lock_timeout = 1"]
)
def test_settings_of_another_pooler_client_do_not_stop_an_index(old_url, pooler, left_behind):
    run(old_url, MANY_ROWS)
    through = pooler(old_url)
    leave_behind(through, left_behind)
    assert migrate(through).applied[-1] == "0002 index_token_usage"
    assert value(old_url, "SELECT count(*) FROM pg_index WHERE NOT indisvalid") == 0
    assert len(rows(old_url, INDEXES)) == 5


def test_an_index_is_built_past_the_limits_of_a_role(old_url):
    run(old_url, MANY_ROWS)
    set_default(old_url, "default_transaction_read_only = on")
    set_default(old_url, "statement_timeout = 5")
    assert migrate(old_url).applied[-1] == "0002 index_token_usage"


# --- the user's own table -----------------------------------------------------------------------------------------


def test_adoption_changes_no_value_of_an_old_row(old_url):
    question = (
        "SELECT id::text, user_id, note_id::text, model, operation, input_tokens, output_tokens, total_tokens, cost,"
        " processing_time, success, error_message, created_at FROM token_usage ORDER BY id"
    )
    before = rows(old_url, question)
    assert migrate(old_url).applied[0] == "0001 adopt_token_usage"
    assert len(before) == 3
    assert rows(old_url, question) == before


def test_adoption_rewrites_nothing(old_url):
    before = value(old_url, "SELECT pg_relation_filenode('token_usage')")
    migrate(old_url)
    assert value(old_url, "SELECT pg_relation_filenode('token_usage')") == before


def test_adoption_keeps_types_indexes_and_constraints_of_the_old_columns(old_url):
    before = rows(old_url, "SELECT conname FROM pg_constraint WHERE conrelid = 'token_usage'::regclass ORDER BY 1")
    migrate(old_url)
    after = rows(old_url, "SELECT conname FROM pg_constraint WHERE conrelid = 'token_usage'::regclass ORDER BY 1")
    assert after == before
    assert ("idx_usage_note",) in rows(old_url, INDEXES)
    kinds = "SELECT format_type(atttypid, atttypmod) FROM pg_attribute WHERE attrelid = 'token_usage'::regclass"
    assert rows(old_url, kinds + " AND attname IN ('cost', 'created_at') ORDER BY attname") == [
        ("numeric(10,6)",),
        ("timestamp without time zone",),
    ]


def test_old_rows_keep_null_in_new_columns(old_url):
    migrate(old_url)
    assert set(rows(old_url, "SELECT recorded_at, is_test, metadata, delivery FROM token_usage")) == {
        (None, None, None, None)
    }


def test_the_old_apps_insert_keeps_working_and_gets_the_defaults(old_url):
    migrate(old_url)
    run(old_url, OLD_INSERT)
    found = rows(
        old_url,
        "SELECT is_test, metadata, cache_read_input_tokens, recorded_at IS NOT NULL FROM token_usage"
        " WHERE recorded_at IS NOT NULL",
    )
    assert found == [(False, {}, 0, True)]


def test_a_call_is_recorded_into_an_adopted_table(old_url, new_tracker):
    migrate(old_url)
    usage = a_call(cost="0.000125", metadata={"a": 1})
    recorder = new_tracker(database_url=old_url)
    assert recorder.record(usage).status == "recorded"
    assert recorder.record(usage).status == "duplicate"
    assert (
        rows(old_url, "SELECT cost, metadata, note_id FROM token_usage WHERE id = %s", (str(usage.id),))[0][2] is None
    )


def test_an_adopted_table_gets_the_indexes_it_lacks(old_url):
    migrate(old_url)
    names = [name for (name,) in rows(old_url, INDEXES)]
    assert {"token_usage_created_at_idx", "token_usage_user_id_created_at_idx"} <= set(names)


@pytest.mark.parametrize(("given", "kept"), [(None, "UTC"), ("Asia/Seoul", "Asia/Seoul")])
def test_the_zone_of_naive_times_is_kept_with_the_column(old_url, given, kept):
    done = migrate(old_url, timezone=given)
    with closing(connect(old_url)) as connection:
        assert read_table(connection).created_at_zone == kept
    assert any(kept in remark for remark in done.remarks)


def test_the_users_comment_is_kept_with_the_zone(old_url):
    run(old_url, "COMMENT ON COLUMN token_usage.created_at IS 'when it''s done'")
    migrate(old_url, timezone="Asia/Seoul")
    comment = value(
        old_url,
        "SELECT col_description('token_usage'::regclass, attnum) FROM pg_attribute"
        " WHERE attrelid = 'token_usage'::regclass AND attname = 'created_at'",
    )
    assert comment.splitlines()[0] == "when it's done"
    with closing(connect(old_url)) as connection:
        assert read_table(connection).created_at_zone == "Asia/Seoul"


def test_a_zone_that_is_known_is_not_changed_by_a_later_run(old_url):
    migrate(old_url, timezone="Asia/Seoul")
    with pytest.raises(SettingError, match="Asia/Seoul"):
        migrate(old_url, timezone="Europe/Berlin")
    assert migrate(old_url, timezone="Asia/Seoul").applied == []
    assert migrate(old_url).applied == []


def test_a_zone_that_the_server_does_not_know_is_refused_and_nothing_is_changed(old_url):
    before = schema_of(old_url)
    with pytest.raises(SettingError, match="Mars/Olympus"):
        migrate(old_url, timezone="Mars/Olympus")
    assert schema_of(old_url) == before


def test_a_zone_for_aware_times_is_reported_as_ineffective(empty_database_url):
    assert any(
        "Asia/Seoul did nothing" in remark for remark in migrate(empty_database_url, timezone="Asia/Seoul").remarks
    )
    assert migrate(empty_database_url).remarks == []


@pytest.mark.parametrize(("zone", "stands"), [("UTC", "2026-03-01 03:00:00"), ("Asia/Seoul", "2026-03-01 12:00:00")])
def test_a_naive_time_is_written_in_its_zone_and_not_the_sessions(old_url, new_tracker, zone, stands):
    migrate(old_url, timezone=zone)
    set_default(old_url, "timezone = 'Asia/Seoul'")
    usage = a_call(created_at=datetime(2026, 3, 1, 3, tzinfo=UTC))
    assert new_tracker(database_url=old_url).record(usage).status == "recorded"
    assert value(old_url, "SELECT created_at::text FROM token_usage WHERE id = %s", (str(usage.id),)) == stands


def test_an_aware_time_does_not_depend_on_the_sessions_zone(database_url, recorder):
    set_default(database_url, "timezone = 'Asia/Seoul'")
    usage = a_call(created_at=datetime(2026, 3, 1, 3, tzinfo=UTC))
    assert recorder.record(usage).status == "recorded"
    assert value(database_url, "SELECT created_at FROM token_usage") == usage.created_at


def test_a_generated_total_is_left_to_the_database(empty_database_url, new_tracker):
    url = empty_database_url
    generated = "integer GENERATED ALWAYS AS (input_tokens + output_tokens) STORED"
    run(url, OLD_TABLE.replace("total_tokens integer NOT NULL", f"total_tokens {generated}"))
    assert any("total_tokens is generated" in remark for remark in migrate(url).remarks)
    outcome = new_tracker(database_url=url).record(a_call(input_tokens=7, output_tokens=4))
    assert outcome.error is None
    assert value(url, "SELECT total_tokens FROM token_usage") == 11


def test_a_table_of_other_but_fitting_types_is_adopted(empty_database_url, new_tracker):
    url = empty_database_url
    run(
        url,
        OLD_TABLE.replace("model text", "model varchar(80)")
        .replace("input_tokens integer", "input_tokens bigint")
        .replace("cost numeric(10,6)", "cost double precision")
        .replace("created_at timestamp ", "created_at timestamptz "),
    )
    migrate(url)
    usage = a_call(cost="0.5")
    assert new_tracker(database_url=url).record(usage).error is None
    assert rows(url, "SELECT cost, created_at FROM token_usage") == [(0.5, usage.created_at)]


# --- columns of ours that take no NULL ----------------------------------------------------------------------------

STRICT_TABLE = OLD_TABLE.replace("cost numeric(10,6)", "cost numeric(10,6) NOT NULL DEFAULT 0").replace(
    "processing_time integer",
    "processing_time integer NOT NULL DEFAULT -1, session_id text NOT NULL DEFAULT '', provider text NOT NULL"
    " DEFAULT 'unknown', delivery text NOT NULL DEFAULT 'app', connection_ms real NOT NULL DEFAULT -1,"
    " instance_id uuid NOT NULL DEFAULT '00000000-0000-0000-0000-000000000000', sequence integer NOT NULL DEFAULT 0",
)
STRICT = "SELECT cost::float, processing_time, session_id, provider FROM token_usage WHERE recorded_at IS NOT NULL"


@pytest.fixture
def strict_url(empty_database_url) -> str:
    """A migrated table of the user's own whose columns take no NULL where a record may not know the value."""
    run(empty_database_url, STRICT_TABLE)
    assert any("cost is NOT NULL" in remark for remark in migrate(empty_database_url).remarks)
    return empty_database_url


def test_the_default_is_stored_if_a_column_is_not_null(strict_url, new_tracker):
    recorder = new_tracker(database_url=strict_url)
    assert recorder.record(a_call()).status == "recorded"
    assert recorder.record(a_call(cost="0.5", processing_time=7, session_id="s", provider="p")).status == "recorded"
    assert set(rows(strict_url, STRICT)) == {(0, -1, "", "unknown"), (0.5, 7, "s", "p")}


def test_the_sql_that_migrate_names_lets_a_cost_be_unknown(strict_url, new_tracker):
    (remark,) = [remark for remark in migrate(strict_url).remarks if "cost is NOT NULL" in remark]
    run(strict_url, remark.partition("reprice, then ")[2])
    assert not any("cost is NOT NULL" in remark for remark in migrate(strict_url).remarks)
    assert new_tracker(database_url=strict_url).record(a_call()).status == "recorded"
    assert rows(strict_url, "SELECT cost FROM token_usage WHERE recorded_at IS NOT NULL") == [(None,)]


def test_the_default_is_stored_for_delivered_records(strict_url):
    with Tracker(mode="background", database_url=strict_url) as recorder:
        for fields in ({}, {"cost": "0.5"}, {"session_id": "s"}, {}):
            recorder.record(a_call(**fields))
        assert recorder.flush(10) == 0
        assert recorder.outbox_depth().dead_letters == 0
    assert sorted(rows(strict_url, STRICT)) == [
        (0, -1, "", "unknown"),
        (0, -1, "", "unknown"),
        (0, -1, "s", "unknown"),
        (0.5, -1, "", "unknown"),
    ]
    assert rows(strict_url, "SELECT DISTINCT delivery, connection_ms >= 0 FROM token_usage") == [("background", True)]


def test_the_default_is_stored_by_bulk_inserts(strict_url):
    from tracker.maintenance import sample_data

    with closing(connect(strict_url)) as connection:
        added = sample_data.add(connection, days=2)
    assert value(strict_url, "SELECT count(*) FROM token_usage") == added
    assert value(strict_url, "SELECT count(*) FROM token_usage WHERE cost = 0 AND model = 'my-finetune'") > 0


# --- tables that can't be adopted ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("statements", "reason"),
    [
        ([OLD_TABLE.replace("token_usage", "calls"), "CREATE VIEW token_usage AS SELECT * FROM calls"], "a view"),
        (
            [OLD_TABLE.replace("id uuid PRIMARY KEY DEFAULT gen_random_uuid()", "id serial PRIMARY KEY")],
            "id is integer",
        ),
        ([OLD_TABLE.replace("id uuid PRIMARY KEY", "id uuid")], "id is not unique"),
        ([OLD_TABLE.replace("id uuid PRIMARY KEY", "id uuid PRIMARY KEY DEFERRABLE")], "id is not unique"),
        ([OLD_TABLE.replace("    model text NOT NULL,\n", "")], "no column model"),
        ([OLD_TABLE.replace("user_id text", "user_id integer")], "user_id is integer"),
        ([OLD_TABLE.replace("note_id uuid", "note_id uuid NOT NULL")], "note_id is NOT NULL"),
        ([OLD_TABLE.replace("cost numeric(10,6)", "cost numeric(10,6) NOT NULL")], "cost is NOT NULL"),
        ([OLD_TABLE.replace("note_id uuid", "recorded_at timestamptz NOT NULL")], "recorded_at is NOT NULL"),
        ([OLD_TABLE.replace("note_id uuid", '"note id" uuid NOT NULL')], '"note id" DROP NOT NULL'),
        (
            [OLD_TABLE.replace("input_tokens integer NOT NULL", "input_tokens integer GENERATED ALWAYS AS (7) STORED")],
            "input_tokens is generated",
        ),
        (
            [
                OLD_TABLE.replace("id uuid PRIMARY KEY", "id uuid"),
                "CREATE UNIQUE INDEX ON token_usage (id) WHERE user_id IS NOT NULL",
            ],
            "id is not unique",
        ),
        (
            [OLD_TABLE.replace("id uuid PRIMARY KEY", "id uuid"), "CREATE UNIQUE INDEX ON token_usage (user_id, id)"],
            "id is not unique",
        ),
    ],
)
def test_a_table_that_cannot_be_adopted_is_left_alone_and_the_reason_is_named(empty_database_url, statements, reason):
    run(empty_database_url, *statements)
    before = schema_of(empty_database_url)
    with pytest.raises(SetupError) as caught:
        migrate(empty_database_url)
    assert caught.value.code == "not_adoptable"
    assert reason in str(caught.value)
    assert schema_of(empty_database_url) == before


def test_every_reason_is_named_at_once(empty_database_url):
    run(empty_database_url, "CREATE TABLE token_usage (id serial, user_id integer)")
    with pytest.raises(SetupError) as caught:
        migrate(empty_database_url)
    for reason in ("id is integer", "user_id is integer", "no column model", "no column created_at"):
        assert reason in str(caught.value)


# --- Supabase -----------------------------------------------------------------------------------------------------


@pytest.fixture
def supabase(new_role) -> None:
    """The roles whose names mean: this is Supabase."""
    new_role("NOLOGIN", "anon")
    new_role("NOLOGIN", "authenticated")


def ours(url: str) -> list[tuple]:
    return rows(
        url,
        "SELECT relname, relrowsecurity FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace"
        " AND relname LIKE 'token%%' ORDER BY 1",
    )


@pytest.fixture
def supabase_url(supabase, empty_database_url) -> str:
    """A database as Supabase makes them: what is created in public is granted to everybody with the public key."""
    run(empty_database_url, "ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT ALL ON TABLES TO anon, authenticated")
    return empty_database_url


def test_on_supabase_every_table_of_ours_has_row_level_security_and_no_public_rights(supabase_url):
    migrate(supabase_url)
    assert dict(ours(supabase_url)) == {**dict.fromkeys(OURS, True), "token_usage": True}
    for role in ("anon", "authenticated"):
        for table, _ in ours(supabase_url):
            right = "SELECT has_table_privilege(%s, %s, 'SELECT, INSERT, UPDATE, DELETE, TRUNCATE')"
            assert value(supabase_url, right, (role, table)) is False


def test_on_supabase_an_adopted_table_without_row_level_security_is_only_a_warning(supabase_url):
    run(supabase_url, OLD_TABLE)
    remarks = migrate(supabase_url).remarks
    assert any("ENABLE ROW LEVEL SECURITY" in remark and "REVOKE" in remark for remark in remarks)
    assert dict(ours(supabase_url)) == {**dict.fromkeys(OURS, True), "token_usage": False}
    assert value(supabase_url, "SELECT has_table_privilege('anon', 'token_usage', 'SELECT')") is True


def test_elsewhere_row_level_security_is_not_touched(empty_database_url):
    assert migrate(empty_database_url).remarks == []
    assert dict(ours(empty_database_url)) == {**dict.fromkeys(OURS, False), "token_usage": False}


def test_a_role_without_a_policy_gets_the_grant_and_the_policy(database_url, limited_url):
    run(
        database_url,
        "ALTER TABLE token_usage ENABLE ROW LEVEL SECURITY",
        f"GRANT SELECT ON token_tracker_migrations TO {clean(limited_url).user}",
    )
    remarks = " ".join(migrate(limited_url).remarks)
    assert "GRANT SELECT, INSERT" in remarks
    assert "CREATE POLICY" in remarks


# --- locks and leftovers ------------------------------------------------------------------------------------------


def test_a_lock_of_another_session_is_retried_in_short_attempts(old_url):
    with locked(old_url, "ROW EXCLUSIVE") as unlock, ThreadPoolExecutor(1) as pool:
        running = pool.submit(migrate, old_url)
        waiting = (
            "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
        )
        # It queues, gives up so that others get through, and queues again.
        eventually(lambda: value(old_url, waiting) == 1)
        eventually(lambda: value(old_url, waiting) == 0)
        unlock()
        assert running.result(timeout=30).applied == ["0001 adopt_token_usage", *OTHER_STEPS]


def test_an_index_left_half_built_is_built_again(old_url):
    with locked(old_url, "ROW EXCLUSIVE"), closing(psycopg2.connect(old_url)) as builder, builder.cursor() as cursor:
        builder.autocommit = True
        cursor.execute("SET lock_timeout = 50")
        with pytest.raises(psycopg2.errors.LockNotAvailable):
            cursor.execute("CREATE INDEX CONCURRENTLY token_usage_created_at_idx ON token_usage (created_at)")
    invalid = "SELECT count(*) FROM pg_index WHERE NOT indisvalid"
    assert value(old_url, invalid) == 1
    migrate(old_url)
    assert value(old_url, invalid) == 0
    assert ("token_usage_created_at_idx",) in rows(old_url, INDEXES)


def test_an_index_that_serves_already_is_not_built_a_second_time(empty_database_url):
    url = empty_database_url
    run(
        url,
        OLD_TABLE.replace("created_at timestamp ", "created_at timestamptz "),
        "CREATE INDEX by_time ON token_usage (created_at)",
        "CREATE INDEX by_user ON token_usage (user_id, created_at DESC)",
    )
    migrate(url)
    assert rows(url, INDEXES) == [("by_time",), ("by_user",), ("token_usage_late_idx",), ("token_usage_pkey",)]


def test_the_index_on_a_naive_time_is_on_the_expression_that_reports_ask(old_url):
    """`timezone('Asia/Seoul', created_at)` is what PostgreSQL makes of AT TIME ZONE."""
    migrate(old_url, timezone="Asia/Seoul")
    question = "SELECT pg_get_indexdef('token_usage_created_at_idx'::regclass)"
    assert "'Asia/Seoul'" in value(old_url, question)


@pytest.mark.parametrize(
    "own",
    [
        "CREATE INDEX ON token_usage USING brin (created_at)",
        "CREATE INDEX token_usage_user_id_created_at_idx ON token_usage (user_id, created_at) WHERE success",
        "CREATE INDEX token_usage_created_at_idx ON token_usage (created_at, note_id)",
    ],
)
def test_a_users_index_with_the_same_name_is_kept(old_url, own):
    run(old_url, own)
    before = rows(old_url, "SELECT indexrelid, indrelid FROM pg_index WHERE indrelid = 'token_usage'::regclass")
    migrate(old_url)
    after = rows(old_url, "SELECT indexrelid, indrelid FROM pg_index WHERE indrelid = 'token_usage'::regclass")
    assert set(before) < set(after)
    assert len(after) == len(before) + 3
    assert migrate(old_url).applied == []


def test_an_invalid_index_of_the_users_own_kind_is_not_dropped(old_url):
    with locked(old_url, "ROW EXCLUSIVE"), closing(psycopg2.connect(old_url)) as builder, builder.cursor() as cursor:
        builder.autocommit = True
        cursor.execute("SET lock_timeout = 50")
        with pytest.raises(psycopg2.errors.LockNotAvailable):
            cursor.execute(
                "CREATE INDEX CONCURRENTLY token_usage_created_at_idx ON token_usage USING brin (created_at)"
            )
    migrate(old_url)
    assert (
        value(
            old_url,
            "SELECT amname FROM pg_am JOIN pg_class c ON c.relam = pg_am.oid"
            " WHERE c.oid = 'token_usage_created_at_idx'::regclass",
        )
        == "brin"
    )


def test_an_index_on_the_bare_column_does_not_stand_for_the_one_on_a_naive_times_zone(old_url):
    run(old_url, "CREATE INDEX by_time ON token_usage (created_at)")
    migrate(old_url, timezone="Asia/Seoul")
    assert "'Asia/Seoul'" in value(old_url, "SELECT pg_get_indexdef('token_usage_created_at_idx'::regclass)")
    before = rows(old_url, INDEXES)
    assert migrate(old_url).applied == []
    assert rows(old_url, INDEXES) == before


def test_a_later_run_leaves_no_second_index_on_a_naive_time(old_url):
    migrate(old_url)
    before = rows(old_url, "SELECT indexrelid FROM pg_index WHERE indrelid = 'token_usage'::regclass ORDER BY 1")
    run(old_url, "DELETE FROM token_tracker_migrations WHERE version = 2")  # as after a run that died at its end
    migrate(old_url)
    after = rows(old_url, "SELECT indexrelid FROM pg_index WHERE indrelid = 'token_usage'::regclass ORDER BY 1")
    assert len(after) == len(before)


@pytest.mark.parametrize("moment", ["infinity", "-infinity"])
def test_an_infinite_time_is_adopted_and_still_accepted(old_url, moment):
    run(old_url, f"UPDATE token_usage SET created_at = '{moment}'")
    migrate(old_url)
    run(old_url, OLD_INSERT, f"UPDATE token_usage SET created_at = '{moment}'")
    assert value(old_url, "SELECT count(*) FROM token_usage") == 4


def test_the_late_index_that_refused_an_infinite_time_is_replaced(database_url):
    before = value(database_url, "SELECT pg_get_indexdef('token_usage_late_idx'::regclass)")
    run(
        database_url,
        "DROP INDEX token_usage_late_idx",
        "CREATE INDEX token_usage_late_idx ON token_usage (recorded_at)"
        " WHERE recorded_at - created_at > interval '15 minutes'",
    )
    assert migrate(database_url).applied == ["0002 index_token_usage"]
    assert value(database_url, "SELECT pg_get_indexdef('token_usage_late_idx'::regclass)") == before
    assert migrate(database_url).applied == []


# --- what went missing since ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("table", ["token_usage", *OURS])
def test_a_table_that_was_dropped_is_made_again(database_url, new_tracker, table):
    run(database_url, f"DROP TABLE {table}")
    done = migrate(database_url)
    assert done.applied
    assert value(database_url, "SELECT to_regclass(%s) IS NOT NULL", (table,))
    assert migrate(database_url).applied == []
    assert new_tracker().record(a_call()).status == "recorded"


def test_a_dropped_column_comes_back_with_its_default_and_its_index(database_url, new_tracker):
    run(database_url, "ALTER TABLE token_usage DROP COLUMN user_id, DROP COLUMN region, DROP COLUMN metadata")
    before = rows(database_url, INDEXES)
    migrate(database_url)
    assert {name for (name,) in rows(database_url, INDEXES)} - {name for (name,) in before} == {
        "token_usage_user_id_created_at_idx"
    }
    assert new_tracker().record(a_call(metadata={"a": 1})).status == "recorded"
    assert migrate(database_url).applied == []


def test_a_dry_run_lists_what_would_be_made_again_and_changes_nothing(database_url):
    run(database_url, "DROP TABLE token_usage")
    before = schema_of(database_url)
    assert any(
        "CREATE TABLE IF NOT EXISTS token_usage" in text for text in migrate(database_url, dry_run=True).statements
    )
    assert schema_of(database_url) == before


def test_a_migrated_table_that_can_no_longer_be_written_is_named(database_url):
    run(database_url, "ALTER TABLE token_usage ADD COLUMN note_id uuid NOT NULL")
    assert any("note_id is NOT NULL" in remark for remark in migrate(database_url).remarks)


# --- other schemas ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("schema", ["tracking", 'We"ird schéma'])
def test_another_schema_gets_the_table_and_public_gets_nothing(empty_database_url, schema):
    quoted = '"' + schema.replace('"', '""') + '"'
    run(empty_database_url, f"CREATE SCHEMA {quoted}")
    assert len(migrate(empty_database_url, schema).applied) == len(VERSIONS)
    assert migrate(empty_database_url, schema).applied == []
    places = "SELECT DISTINCT schemaname FROM pg_tables WHERE tablename LIKE 'token%%'"
    assert rows(empty_database_url, places) == [(schema,)]


def test_a_call_is_recorded_in_the_schema_of_the_url(empty_database_url, new_tracker):
    run(empty_database_url, "CREATE SCHEMA tracking")
    migrate(empty_database_url, "tracking")
    outcome = new_tracker(database_url=with_parameters(empty_database_url, "schema=tracking")).record(a_call())
    assert outcome.status == "recorded"
    assert value(empty_database_url, "SELECT id FROM tracking.token_usage") == str(outcome.id)


def test_a_schema_that_is_not_there_is_named_as_the_cause(empty_database_url):
    with pytest.raises(SetupError) as caught:
        migrate(empty_database_url, "nowhere")
    assert caught.value.code == "schema_missing"


def test_a_missing_create_privilege_is_reported_at_once(empty_database_url, new_role):
    run(empty_database_url, "REVOKE CREATE ON SCHEMA public FROM PUBLIC")  # as it is from PostgreSQL 15 on
    with pytest.raises(SetupError) as caught:
        migrate(with_role(empty_database_url, new_role()))
    assert caught.value.code == "right_missing"
    assert "GRANT CREATE" in caught.value.remedy


def test_the_ids_that_the_database_makes_are_uuids(database_url):
    run(
        database_url,
        OLD_INSERT.replace("note_id, ", "")
        .replace("'0b0e0000-0000-4000-8000-000000000001', ", "")
        .replace("NULL", "'u'"),
    )
    assert UUID(value(database_url, "SELECT id FROM token_usage")).version == 4


@pytest.mark.pooler
def test_behind_a_pooler_in_statement_mode_the_mode_is_named(statement_pooler, empty_database_url):
    url = statement_pooler(empty_database_url)
    with pytest.raises(SetupError, match="statement mode") as caught:
        migrate_with(lambda: connect(url))
    assert caught.value.code == "statement_pooling"
