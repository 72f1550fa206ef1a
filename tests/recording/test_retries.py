"""A call is sent once, and again after a cut connection, until the retries or the deadline end."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
from support import a_call, count, eventually, rows, run, value, with_database

from tracker.database.url import clean


def test_in_steady_state_a_record_is_exactly_one_send(new_tracker, proxy):
    recorder = new_tracker(database_url=proxy.url)
    recorder.record(a_call())
    proxy.forget()
    for _ in range(10):
        assert recorder.record(a_call()).status == "recorded"
    assert len(proxy.statements) == 10
    assert proxy.connections == 1


def test_a_cold_start_is_two_sends(new_tracker, proxy):
    assert new_tracker(database_url=proxy.url).record(a_call()).stored
    assert len(proxy.statements) == 2  # what the table looks like, and the insert


@pytest.mark.parametrize("cut", ["cut_before", "cut_after"])
def test_a_connection_cut_around_the_commit_records_once_with_one_retry(cut, new_tracker, proxy, database_url):
    recorder = new_tracker(database_url=proxy.url)
    recorder.record(a_call())
    getattr(proxy, cut)()
    usage = a_call()
    outcome = recorder.record(usage)
    assert outcome.retry_count == 1
    assert outcome.status == "recorded"  # the same record's own row is no duplicate
    assert value(database_url, "SELECT count(*) FROM token_usage WHERE id = %s", (str(usage.id),)) == 1


def test_the_row_contains_its_retry_count(new_tracker, proxy, database_url):
    recorder = new_tracker(database_url=proxy.url)
    recorder.record(a_call())
    proxy.cut_before()
    recorder.record(a_call())
    assert rows(database_url, "SELECT retry_count FROM token_usage ORDER BY sequence") == [(0,), (1,)]


def test_a_first_call_whose_connection_is_cut_is_recorded(new_tracker, proxy):
    proxy.cut_before()
    outcome = new_tracker(database_url=proxy.url).record(a_call())
    assert (outcome.status, outcome.retry_count) == ("recorded", 1)


def test_many_cuts_lose_nothing_and_double_nothing(new_tracker, proxy, database_url):
    recorder = new_tracker(database_url=proxy.url)
    recorder.record(a_call())
    usages = [a_call() for _ in range(40)]
    for number, usage in enumerate(usages):
        if number % 3 == 0:
            proxy.cut_before()
        elif number % 3 == 1:
            proxy.cut_after()
        assert recorder.record(usage).stored
    assert count(database_url) == 41


def test_no_retry_means_no_retry(new_tracker, proxy):
    recorder = new_tracker(database_url=proxy.url, max_retries=0)
    recorder.record(a_call())
    proxy.cut_before()
    outcome = recorder.record(a_call())
    assert (outcome.status, outcome.retry_count) == ("queued", 0)


def test_retries_are_counted_and_end(new_tracker):
    outcome = new_tracker(database_url="postgresql://u@127.0.0.1:1/db", max_retries=2).record(a_call())
    assert (outcome.status, outcome.retry_count) == ("queued", 2)
    assert "Nothing answers at 127.0.0.1:1" in outcome.error
    assert outcome.connection_ms is None


@pytest.mark.direct
def test_a_server_that_comes_back_within_the_deadline_is_enough(new_tracker, database_url):
    from faults import Proxy

    with Proxy(database_url) as proxy:
        recorder = new_tracker(database_url=proxy.url)
        recorder.record(a_call())
        with ThreadPoolExecutor(1) as pool:
            name = clean(database_url).dbname
            other = with_database(database_url, "postgres")
            run(other, f"ALTER DATABASE {name} ALLOW_CONNECTIONS false")
            proxy.cut_all()
            waiting = pool.submit(recorder.record, a_call(), 10)
            eventually(lambda: proxy.connections > 2)
            run(other, f"ALTER DATABASE {name} ALLOW_CONNECTIONS true")
            outcome = waiting.result(timeout=15)
    assert outcome.status == "recorded", outcome.error
    assert outcome.retry_count >= 1
