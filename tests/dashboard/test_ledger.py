"""The loss ledger counts what is missing, and nothing else."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import a_call, run
from test_reports import reader_of

from tracker import Tracker
from tracker.maintenance import delete_test_records
from tracker.reports import Filters, Reader
from tracker.reports.ledger_report import Ledger, ledger, subtract_ranges


@pytest.fixture
def reader(database_url: str) -> Reader:
    return reader_of(database_url)


@pytest.fixture
def read(reader: Reader) -> Callable[[], Ledger]:
    """The ledger of the last day."""

    def of_the_last_day() -> Ledger:
        now = datetime.now(UTC)
        return ledger(reader, Filters(start=now - timedelta(days=1), end=now + timedelta(minutes=1)))

    return of_the_last_day


def lose(url: str, sequence: int) -> None:
    """Delete a row as nobody should, so that its number is missing."""
    run(url, f"DELETE FROM token_usage WHERE sequence = {sequence}")


def test_all_that_was_recorded_is_there(read, new_tracker):
    with new_tracker() as recorder:
        recorder.record_many([a_call() for _ in range(5)])
    found = read()
    assert (found.recorded, found.missing, found.in_flight, found.open_instances) == (5, 0, 0, 0)


def test_the_number_of_records_counts_the_range_only_and_tests_separately(read, new_tracker, database_url):
    with new_tracker() as recorder:
        recorder.record_many([a_call(), a_call(is_test=True), a_call()])
    run(database_url, "UPDATE token_usage SET created_at = created_at - interval '30 hours' WHERE sequence = 1")
    found = read()
    assert (found.recorded, found.tests, found.missing) == (2, 1, 0)


@pytest.mark.parametrize("lost", [1, 3, 5])
def test_a_row_that_vanished_is_missing_once_its_process_has_ended(read, new_tracker, database_url, lost):
    with new_tracker() as recorder:
        recorder.record_many([a_call() for _ in range(5)])
    lose(database_url, lost)
    found = read()
    assert (found.recorded, found.missing) == (4, 1)
    assert found.deployments[0].environment == "development"


def test_the_tail_of_a_process_that_never_ended_is_not_known(read, recorder, database_url):
    recorder.record_many([a_call() for _ in range(3)])
    lose(database_url, 3)
    found = read()
    assert (found.missing, found.open_instances) == (0, 1)


def test_a_gap_is_on_the_way_until_no_attempt_can_still_go_on(read, recorder, database_url):
    recorder.record_many([a_call() for _ in range(3)])
    lose(database_url, 2)
    assert (read().missing, read().in_flight) == (0, 1)
    run(database_url, "UPDATE token_usage SET recorded_at = now() - interval '16 minutes'")
    assert (read().missing, read().in_flight) == (1, 0)


def test_what_explains_a_number_is_no_loss(read, reader, new_tracker, database_url):
    run(database_url, "ALTER TABLE token_usage ADD CONSTRAINT known CHECK (model LIKE 'gemini%')")
    with new_tracker() as recorder:
        usage = a_call()
        recorder.record_many([usage, usage, a_call(model="gpt"), a_call(is_test=True), a_call(is_test=True), a_call()])
    assert delete_test_records.remove_tests(reader) == 2
    found = read()
    explained = found.deployments[0].explained
    assert (found.recorded, found.missing) == (2, 0)
    assert (explained["duplicate"], explained["set_aside"], explained["removed"]) == (1, 1, 2)


def test_a_record_that_waits_is_never_called_lost(read, new_tracker, proxy, database_url):
    recorder = new_tracker(database_url=proxy.url, max_retries=0, deadline_s=0.3, platform="vercel")
    recorder.record(a_call())
    proxy.swallow = True
    assert recorder.record(a_call()).status == "queued"
    proxy.swallow = False
    recorder._breaker.record_success()
    recorder._direct.has_backlog = False  # the process is frozen before it catches up
    recorder.record(a_call())
    recorder._queue._report_all_queued(time.monotonic() + 5)
    run(database_url, "UPDATE token_usage SET recorded_at = now() - interval '1 hour'")
    found = read()
    assert (found.recorded, found.missing, found.waiting) == (2, 0, 1)
    assert recorder.flush(10) == 0
    assert (read().recorded, read().missing, read().waiting) == (3, 0, 0)


def test_a_number_whose_row_lies_far_outside_the_range_is_not_missing(read, new_tracker, database_url):
    with new_tracker() as recorder:
        recorder.record(a_call())
        recorder.record(a_call(created_at=datetime.now(UTC) - timedelta(days=20)))
        recorder.record(a_call())
    assert (read().recorded, read().missing) == (2, 0)


def test_imported_and_sample_rows_have_no_number(read, call):
    call(created_at=datetime.now(UTC))
    assert read().deployments == ()


def test_a_role_that_may_not_read_the_ledger_gets_the_missing_grant(limited_url, new_tracker):
    with new_tracker(database_url=limited_url) as recorder:
        recorder.record(a_call())
    now = datetime.now(UTC)
    found = ledger(reader_of(limited_url), Filters(start=now - timedelta(days=1), end=now + timedelta(minutes=1)))
    assert found.recorded == 1
    assert "GRANT SELECT ON token_tracker_ledger" in (found.hidden_reason or "")


def test_deployments_are_reported_separately(read, new_tracker, monkeypatch, database_url):
    for commit in ("a", "b"):
        monkeypatch.setenv("VERCEL_IPC_PATH", "/x")
        monkeypatch.setenv("VERCEL_GIT_COMMIT_SHA", commit * 40)
        with new_tracker() as recorder:
            recorder.record_many([a_call() for _ in range(3)])
    run(database_url, "DELETE FROM token_usage WHERE deployment = 'bbbbbbb' AND sequence = 2")
    assert [(counts.deployment, counts.missing) for counts in read().deployments] == [("bbbbbbb", 1), ("aaaaaaa", 0)]


def test_another_schema_keeps_its_own_ledger(empty_database_url):
    from support import connect

    from tracker.database.migrate import migrate

    run(empty_database_url, 'CREATE SCHEMA "We""ird"')
    migrate(lambda: connect(empty_database_url), 'We"ird')
    joint = "&" if "?" in empty_database_url else "?"
    url = f"{empty_database_url}{joint}schema=We%22ird"
    with Tracker(mode="direct", database_url=url) as recorder:
        recorder.record_many([a_call(), a_call()])
    run(empty_database_url, 'DELETE FROM "We""ird".token_usage WHERE sequence = 1')
    now = datetime.now(UTC)
    found = ledger(reader_of(url), Filters(start=now - timedelta(days=1), end=now + timedelta(minutes=1)))
    assert (found.recorded, found.missing, found.open_instances) == (1, 1, 0)


_ranges = st.lists(st.tuples(st.integers(1, 60), st.integers(0, 9)).map(lambda pair: (pair[0], pair[0] + pair[1])))


@given(_ranges, _ranges)
def test_without_is_the_difference_of_sets(ranges, taken):
    def numbers(of):
        return [number for first, last in of for number in range(first, last + 1)]

    gone = set(numbers(taken))
    assert sorted(numbers(subtract_ranges(ranges, taken))) == sorted(
        number for number in numbers(ranges) if number not in gone
    )
