"""Published tables: the replica identity of tracker tables is set; for token_usage the statement is printed."""

from __future__ import annotations

import re
from contextlib import closing

import pytest
from support import ROOT, a_call, connect, run, value, with_role

from tracker import Tracker
from tracker.cli import main
from tracker.database.connect import execute
from tracker.database.migrate import migrate
from tracker.diagnostics.report import build_report
from tracker.errors import SetupError

CASE = (ROOT / "tests" / "cases" / "databases" / "replica_identity.sql").read_text()
ALL_TABLES = "CREATE PUBLICATION everything FOR ALL TABLES"
ADOPTED = CASE.partition("published by itself\n")[2].partition("-- then:")[0]
FULL = "SELECT count(*) FROM pg_class WHERE relname LIKE 'token\\_tracker\\_%%' AND relreplident = 'f'"


def migrated(url):
    return migrate(lambda: connect(url))


@pytest.fixture
def recorded(database_url, monkeypatch):
    """A migrated database with calls of which some are old, as DATABASE_URL."""
    with Tracker(database_url=database_url, mode="direct") as recorder:
        recorder.record_many([a_call() for _ in range(5)])
    run(database_url, "UPDATE token_usage SET created_at = created_at - interval '30 days' WHERE sequence < 2")
    monkeypatch.setenv("DATABASE_URL", database_url)
    assert main(["rollup"]) == 0
    return database_url


@pytest.mark.parametrize(
    "command",
    [["rollup"], ["rollup", "--verify"], ["rollup", "--rebuild"], ["prune", "--older-than", "5d"], ["reprice"]],
)
def test_a_publication_created_later_causes_no_error(recorded, command, capsys):
    assert ALL_TABLES in CASE
    run(recorded, ALL_TABLES)
    with Tracker(database_url=recorded, mode="direct") as recorder:
        recorder.record(a_call())
    assert main(command) == 0, capsys.readouterr().err
    assert main(["rollup", "--verify"]) == 0


def test_tracker_tables_are_altered_only_if_they_are_published_for_changes(database_url):
    migrated(database_url)
    assert value(database_url, FULL) == 0
    run(database_url, f"{ALL_TABLES} WITH (publish = 'insert')")
    migrated(database_url)
    assert value(database_url, FULL) == 0
    run(database_url, "ALTER PUBLICATION everything SET (publish = 'insert, update')")
    migrated(database_url)
    assert value(database_url, FULL) > 0
    assert migrated(database_url).statements == []


def test_a_role_that_may_not_alter_them_gets_the_statements(recorded, new_role, monkeypatch, capsys):
    role = new_role()
    run(recorded, f"GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO {role}", ALL_TABLES)
    monkeypatch.setenv("DATABASE_URL", with_role(recorded, role))
    assert main(["rollup"]) == 1
    output = capsys.readouterr().err
    statements = re.findall(r"ALTER TABLE \S+ REPLICA IDENTITY FULL;", output)
    assert statements
    run(recorded, *statements)
    assert main(["rollup"]) == 0


@pytest.fixture
def adopted(empty_database_url, monkeypatch):
    """The case's second form, an adopted table without a primary key that is published by itself."""
    run(empty_database_url, ADOPTED)
    monkeypatch.setenv("DATABASE_URL", empty_database_url)
    return empty_database_url


@pytest.mark.parametrize("command", [["prune", "--older-than", "5d"], ["reprice"]])
def test_an_adopted_table_is_not_altered_and_the_statement_is_printed(adopted, command, capsys):
    remarks = migrated(adopted).remarks
    (statement,) = (
        found for remark in remarks for found in re.findall(r"ALTER TABLE \S+ REPLICA IDENTITY [^;]+;", remark)
    )
    assert statement == 'ALTER TABLE "public".token_usage REPLICA IDENTITY USING INDEX "token_usage_id_idx";'
    assert value(adopted, "SELECT relreplident::text FROM pg_class WHERE relname = 'token_usage'") == "d"
    assert main(command) == 1
    assert statement in capsys.readouterr().err
    report = build_report({"DATABASE_URL": adopted})
    assert statement in next(one.remedy for one in report.recommendations if one.code == "replica_identity_missing")
    run(adopted, statement)
    assert main(command) == 0
    assert not any("REPLICA IDENTITY" in remark for remark in migrated(adopted).remarks)


def test_a_refused_statement_raises_an_error_with_the_remedy(adopted):
    migrated(adopted)
    with closing(connect(adopted)) as connection, pytest.raises(SetupError, match="REPLICA IDENTITY") as caught:
        execute(connection, "DELETE FROM token_usage WHERE is_test IS NOT TRUE")
    assert (caught.value.code, caught.value.sqlstate) == ("replica_identity_missing", "55000")
