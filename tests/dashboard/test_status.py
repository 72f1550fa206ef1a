"""The status badge: one check for all users, in the background."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import psycopg2
import pytest
from dashboard_support import texts
from support import a_call, eventually, run, value

from pages.support.i18n import set_language
from pages.support.recording_status import RecordingState, StatusMonitor
from pages.widgets import status_badge
from tracker import Tracker
from tracker.diagnostics import report
from tracker.messages import Message

ROLE = "A role may not insert."


def advice(code: str, severity: str = "error", cause: str = ROLE) -> tuple[dict[str, str], ...]:
    return ({"code": code, "severity": severity, "cause": cause, "evidence": "", "remedy": ""},)


@pytest.fixture(autouse=True)
def english() -> Iterator[None]:
    set_language("en")
    yield


@pytest.mark.parametrize(
    ("found", "color", "page"),
    [
        (None, "gray", "environment.py"),
        (RecordingState(recorded=3), "green", ""),
        (RecordingState(), "gray", ""),
        (RecordingState(error="Nothing answers."), "red", "environment.py"),
        (RecordingState(error="No slot.", advice=advice("too_many_connections")), "red", "connections.py"),
        (RecordingState(advice=advice("right_missing")), "red", "environment.py"),
        (RecordingState(recorded=3, advice=advice("right_missing")), "orange", "environment.py"),
        (RecordingState(advice=advice("right_missing"), is_read_only=True), "gray", ""),
        (RecordingState(recorded=3, advice=advice("right_missing"), is_read_only=True), "green", ""),
        (RecordingState(advice=advice("sees_no_rows", "warning")), "gray", "environment.py"),
        (RecordingState(recorded=3, missing=1), "orange", "performance.py"),
        (RecordingState(recorded=3, dead_letters=1), "orange", "performance.py"),
        (RecordingState(recorded=3, waiting=1, oldest_wait_s=90), "orange", "performance.py"),
        (RecordingState(recorded=3, waiting=1, oldest_wait_s=9), "green", ""),
        (RecordingState(recorded=3, advice=advice("few_slots", "warning")), "orange", "connections.py"),
        (RecordingState(recorded=3, advice=advice("far_away", "warning")), "green", ""),
    ],
)
def test_the_worst_problem_decides_the_color_and_the_page(found, color, page):
    status = status_badge.badge_status(found)
    assert (status.color, status.page) == (color, page)
    assert status.reason


def test_the_reason_comes_from_the_debug_report_and_is_translated():
    cause = Message("login.refused", server="db:5432")
    found = RecordingState(error="It failed.", advice=advice("refused", cause=cause))
    assert status_badge.badge_status(found).reason == "Nothing answers at db:5432."
    set_language("ko")
    assert status_badge.badge_status(found).reason == "db:5432에서 응답이 없습니다."


def test_other_recommendations_are_counted_as_hints():
    assert status_badge.badge_status(RecordingState(recorded=1, advice=advice("far_away", "warning"))).hints == 1
    assert (
        status_badge.badge_status(RecordingState(recorded=1, advice=advice("database_url_missing", "warning"))).hints
        == 0
    )


def test_a_table_that_refuses_inserts_is_red(open_page, database_url):
    run(database_url, "ALTER TABLE token_usage ADD CHECK (false) NOT VALID")
    shown = texts(open_page(database_url))
    assert "Not recording" in shown


def test_recorded_calls_make_it_green(open_page, database_url):
    with Tracker(database_url=database_url, mode="direct") as recorder:
        recorder.record(a_call())
    assert "Recording normally" in texts(open_page(database_url))


def test_the_number_of_records_excludes_tests(open_page, database_url):
    with Tracker(database_url=database_url, mode="direct") as recorder:
        recorder.record(a_call(is_test=True))
    assert "1 record in the last 24 h, none missing; tests only." in texts(open_page(database_url))
    status = status_badge.badge_status(RecordingState(recorded=5, tests=2))
    assert status.reason == "3 records in the last 24 h, none missing."


def test_fifty_users_share_one_check(monkeypatch, database_url):
    monkeypatch.setenv("DATABASE_URL", database_url)
    built = []
    build_report = report.build_report
    monkeypatch.setattr(report, "build_report", lambda **given: built.append(1) or build_report(**given))
    monitor = StatusMonitor()
    with ThreadPoolExecutor(50) as readers:
        found = list(readers.map(lambda _: monitor.state(), range(50)))
    assert len({id(one) for one in found if one}) == 1
    assert len(built) == 1
    assert (
        value(
            database_url,
            "SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'token-tracker d%'"
            " AND datname = current_database()",
        )
        <= 3
    )


def test_a_database_that_hangs_does_not_block_a_page(monkeypatch, database_url):
    monkeypatch.setenv("DATABASE_URL", database_url)
    monitor = StatusMonitor()
    with psycopg2.connect(database_url) as holder, holder.cursor() as cursor:
        cursor.execute("LOCK TABLE token_usage IN ACCESS EXCLUSIVE MODE")
        began = time.monotonic()
        monitor.state()
        assert time.monotonic() - began < 8
    eventually(lambda: (monitor.state() or RecordingState(error="-")).error is None, within_s=90)
