"""The sidebar's dot: it comes from the diagnosis, is asked once for all readers, and keeps no page waiting."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import psycopg2
import pytest
from dashboard_support import texts
from support import a_call, eventually, run, value

from pages.support.i18n import speak
from pages.support.recording_status import Found, Watch
from pages.widgets import status_badge
from tracker import Tracker
from tracker.diagnostics import report

ROLE = "A role may not insert."


def advice(code: str, severity: str = "error", cause: str = ROLE) -> tuple[dict[str, str], ...]:
    return ({"code": code, "severity": severity, "cause": cause, "evidence": "", "remedy": ""},)


@pytest.fixture(autouse=True)
def english() -> Iterator[None]:
    speak("en")
    yield


@pytest.mark.parametrize(
    ("found", "color", "page"),
    [
        (None, "gray", "environment.py"),
        (Found(recorded=3), "green", ""),
        (Found(), "gray", ""),
        (Found(trouble="Nothing answers."), "red", "environment.py"),
        (Found(trouble="No slot.", advice=advice("too_many_connections")), "red", "connections.py"),
        (Found(advice=advice("right_missing")), "red", "environment.py"),
        (Found(recorded=3, advice=advice("right_missing")), "orange", "environment.py"),
        (Found(advice=advice("right_missing"), only_reads=True), "gray", ""),
        (Found(recorded=3, advice=advice("right_missing"), only_reads=True), "green", ""),
        (Found(advice=advice("sees_no_rows", "warning")), "gray", "environment.py"),
        (Found(recorded=3, missing=1), "orange", "performance.py"),
        (Found(recorded=3, set_aside=1), "orange", "performance.py"),
        (Found(recorded=3, waiting=1, waits_s=90), "orange", "performance.py"),
        (Found(recorded=3, waiting=1, waits_s=9), "green", ""),
        (Found(recorded=3, advice=advice("few_slots", "warning")), "orange", "connections.py"),
        (Found(recorded=3, advice=advice("far_away", "warning")), "green", ""),
    ],
)
def test_the_worst_that_was_found_gives_the_colour_and_the_page_that_explains_it(found, color, page):
    status = status_badge.judge(found)
    assert (status.color, status.page) == (color, page)
    assert status.why


def test_the_cause_is_the_diagnosis_own_and_in_the_readers_language():
    found = Found(trouble="It failed.", advice=advice("refused", cause="Nothing answers at db:5432."))
    assert status_badge.judge(found).why == "Nothing answers at db:5432."
    speak("ko")
    assert status_badge.judge(found).why == "db:5432에서 응답이 없습니다."


def test_what_else_is_advised_is_counted_beside_the_dot():
    assert status_badge.judge(Found(recorded=1, advice=advice("far_away", "warning"))).hints == 1
    assert status_badge.judge(Found(recorded=1, advice=advice("database_url_missing", "warning"))).hints == 0


def test_a_table_that_refuses_every_insert_is_red_although_it_answers(open_page, database_url):
    run(database_url, "ALTER TABLE token_usage ADD CHECK (false) NOT VALID")
    shown = texts(open_page(database_url))
    assert "Not recording" in shown


def test_recorded_calls_make_it_green(open_page, database_url):
    with Tracker(database_url=database_url, mode="direct") as recorder:
        recorder.record(a_call())
    assert "Recording normally" in texts(open_page(database_url))


def test_fifty_readers_ask_once(monkeypatch, database_url):
    monkeypatch.setenv("DATABASE_URL", database_url)
    built = []
    build_report = report.build_report
    monkeypatch.setattr(report, "build_report", lambda **given: built.append(1) or build_report(**given))
    watch = Watch()
    with ThreadPoolExecutor(50) as readers:
        found = list(readers.map(lambda _: watch.look(), range(50)))
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


def test_a_database_that_hangs_keeps_no_page_waiting(monkeypatch, database_url):
    monkeypatch.setenv("DATABASE_URL", database_url)
    watch = Watch()
    with psycopg2.connect(database_url) as holder, holder.cursor() as cursor:
        cursor.execute("LOCK TABLE token_usage IN ACCESS EXCLUSIVE MODE")
        began = time.monotonic()
        watch.look()
        assert time.monotonic() - began < 8
    eventually(lambda: (watch.look() or Found(trouble="-")).trouble is None, within_s=90)
