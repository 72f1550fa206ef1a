"""Migrations give a new database its tables, also in parallel, and restore what is missing."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from uuid import UUID

import pytest
from migrate_support import COLUMN_FACTS, INDEXES, OLD_INSERT, OTHER_STEPS, OURS, migrate, schema_of
from support import a_call, connect, eventually, rows, run, value, with_parameters, with_role

from tracker import Tracker
from tracker.database.migrate import migrate as migrate_with
from tracker.database.migrations import FILES, VERSIONS
from tracker.database.schema import COLUMNS
from tracker.errors import SetupError

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


# --- tables and columns that are missing ---------------------------------------------------------------------------


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
