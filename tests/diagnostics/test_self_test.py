"""The self-test and the checklist: a test row that is deleted again, and seven items with their evidence."""

from __future__ import annotations

from uuid import UUID

import pytest
from support import a_call, rows, run, value, with_role

from tracker import Tracker
from tracker.database.url import clean
from tracker.diagnostics.checklist import ITEM_TITLES, Checklist
from tracker.diagnostics.report import build_report
from tracker.diagnostics.rollup_check import rollup_check
from tracker.diagnostics.self_test import self_test
from tracker.errors import SetupError


def check_states(result) -> dict[str, bool | None]:
    return {check.name: check.ok for check in result.checks}


def test_a_test_row_is_written_read_repeated_and_deleted(database_url):
    with Tracker(mode="direct", database_url=database_url) as recorder:
        kept = recorder.record(a_call(is_test=True)).id
    result = self_test(clean(database_url), dashboard_reads=lambda _: True)
    assert result.passed
    assert check_states(result) == {
        "write": True,
        "read back": True,
        "same id again": True,
        "dashboard shows it": True,
        "rollup": None,
        "clean up": True,
    }
    assert rows(database_url, "SELECT id::text FROM token_usage") == [(str(kept),)]


def test_the_ledger_explains_every_sequence_number_of_a_test_row(database_url):
    self_test(clean(database_url))
    kinds = rows(database_url, "SELECT kind, first_sequence, last_sequence FROM token_tracker_ledger ORDER BY kind")
    assert kinds == [("closed", 1, 2), ("duplicate", 2, 2), ("removed", 1, 1)]


def test_a_role_that_may_not_delete_leaves_a_test_row_and_reports_it(limited_url, database_url):
    result = self_test(clean(limited_url))
    assert result.passed
    assert check_states(result)["clean up"] is None
    assert str(result.id) in result.checks[-1].evidence
    assert value(database_url, "SELECT is_test FROM token_usage")


def test_the_rollups_are_checked_while_the_row_exists(database_url):
    def check_rollup(connection, identifier):
        with connection.cursor() as cursor:
            cursor.execute("SELECT count(*) FROM token_usage WHERE id = %s", (str(identifier),))
            assert cursor.fetchone() == (1,)
        raise SetupError("rollup_stale", "The rollup lacks it.", "")

    result = self_test(clean(database_url), check_rollup=check_rollup)
    assert not result.passed
    assert check_states(result)["rollup"] is False
    assert value(database_url, "SELECT count(*) FROM token_usage") == 0


def test_the_rollups_count_a_test_row(database_url):
    result = self_test(clean(database_url), check_rollup=rollup_check(None))
    assert check_states(result)["rollup"] is True, result


def test_a_row_that_cannot_be_written_is_not_queued(database_url, new_role, monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    result = self_test(clean(with_role(database_url, new_role())))
    assert not result.passed
    assert check_states(result)["write"] is False
    assert {ok for name, ok in check_states(result).items() if name != "write"} == {None}
    run(database_url, "GRANT SELECT, INSERT ON token_usage TO PUBLIC")
    assert value(database_url, "SELECT count(*) FROM token_usage") == 0
    assert list(tmp_path.iterdir()) == []


def test_a_healthy_database_passes_seven_items_with_evidence(database_url):
    env = {"DATABASE_URL": database_url}

    def call_debug_route():
        report = build_report(env)
        return (200 if report.healthy else 503), report.as_dict()

    def dashboard_reads(identifier: UUID) -> bool:
        return bool(rows(database_url, "SELECT 1 FROM token_usage WHERE id = %s", (str(identifier),)))

    items = list(
        Checklist(
            lambda: build_report(env),
            clean(database_url),
            dashboard_reads=dashboard_reads,
            call_debug_route=call_debug_route,
        ).run()
    )
    assert [item.title for item in items] == list(ITEM_TITLES)
    assert len(items) == 7
    assert {item.status for item in items[:6]} == {"passed"}
    assert all(item.evidence and item.ms >= 0 for item in items)
    assert value(database_url, "SELECT count(*) FROM token_usage") == 0


def test_the_log_item_depends_on_the_log(database_url, caplog, monkeypatch):
    caplog.set_level("INFO", logger="tracker")
    env = {"DATABASE_URL": database_url}
    items = list(Checklist(lambda: build_report(env), clean(database_url)).run())
    assert (items[6].status, "hides" in items[6].evidence) == ("passed", False)
    caplog.set_level("ERROR", logger="tracker")
    items = list(Checklist(lambda: build_report(env), clean(database_url)).run())
    assert (items[6].status, "hides" in items[6].evidence) == ("passed", True)
    monkeypatch.setenv("TRACKER_LOG_RECORDS", "off")
    items = list(Checklist(lambda: build_report(env), clean(database_url)).run())
    assert items[6].status == "failed"


@pytest.mark.parametrize("broken", ["nothing set", "table missing"])
def test_each_problem_fails_its_item(broken, empty_database_url):
    env = {} if broken == "nothing set" else {"DATABASE_URL": empty_database_url}
    url = clean(empty_database_url) if env else None
    items = list(Checklist(lambda: build_report(env), url).run())
    status = [item.status for item in items]
    if broken == "nothing set":
        assert status[:4] == ["failed", "failed", "not_checked", "not_checked"]
    else:
        assert status[:4] == ["passed", "passed", "failed", "failed"]
