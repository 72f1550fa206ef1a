"""A call takes no longer than its deadline, whatever the network and the database do."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from recording_support import in_time
from support import a_call, eventually, locked


def test_a_peer_that_swallows_everything_costs_no_more_than_the_deadline(new_tracker, proxy):
    recorder = new_tracker(database_url=proxy.url)
    recorder.record(a_call())
    proxy.swallow = True
    assert in_time(recorder, 1.0).status == "queued"


def test_a_server_that_swallows_the_login_costs_no_more_than_the_deadline(new_tracker, proxy):
    proxy.swallow = True
    outcome = in_time(new_tracker(database_url=proxy.url), 1.0)
    assert "didn't answer in time" in outcome.error


def test_a_locked_table_costs_no_more_than_the_deadline(recorder, database_url):
    recorder.record(a_call())
    with locked(database_url):
        outcome = in_time(recorder, 1.0)
    assert outcome.status == "queued"
    assert "deadline" in outcome.error


def test_an_exhausted_pool_costs_no_more_than_the_deadline(new_tracker, database_url):
    recorder = new_tracker(pool_size=1)
    recorder.record(a_call())
    with locked(database_url) as unlock, ThreadPoolExecutor(1) as pool:
        first = pool.submit(recorder.record, a_call(), 20)
        eventually(lambda: recorder.pool_stats().used == 1)
        outcome = in_time(recorder, 0.5)
        unlock()
        assert first.result(timeout=10).status == "recorded"
    assert outcome.status == "queued"
    assert "TRACKER_POOL_SIZE" in outcome.error


def test_the_deadline_of_the_settings_holds_where_none_is_given(new_tracker, proxy):
    recorder = new_tracker(database_url=proxy.url, deadline_s=0.4)
    recorder.record(a_call(), 5)
    proxy.swallow = True
    started = time.monotonic()
    assert recorder.record(a_call()).status == "queued"
    assert time.monotonic() - started <= 0.4 * 1.2


def test_each_thread_keeps_its_own_deadline_also_at_the_first_call(new_tracker, proxy):
    recorder = new_tracker(database_url=proxy.url)
    recorder._pool.release(recorder._pool.acquire(time.monotonic() + 5))
    with ThreadPoolExecutor(2) as pool:
        proxy.swallow = True
        patient = pool.submit(recorder.record, a_call(), 3)
        eventually(lambda: recorder.pool_stats().used)
        assert in_time(recorder, 0.5).status == "queued"
        assert patient.result(timeout=10).status == "queued"


@pytest.mark.parametrize("deadline_s", [float("inf"), 1e12])
def test_an_endless_deadline_does_not_break_the_deadlines_of_others(new_tracker, proxy, deadline_s):
    recorders = [new_tracker(database_url=proxy.url) for _ in range(3)]
    for recorder in recorders:
        assert recorder.record(a_call(), deadline_s).status == "recorded"
    proxy.swallow = True
    for recorder in recorders:
        assert in_time(recorder, 0.4).status == "queued"


@pytest.mark.parametrize("deadline_s", [0, -1])
def test_a_deadline_that_is_over_queues_and_is_no_error(new_tracker, proxy, deadline_s):
    proxy.swallow = True
    assert new_tracker(database_url=proxy.url).record(a_call(), deadline_s).status == "queued"
