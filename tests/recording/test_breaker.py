"""While the database is known to be down, records don't wait for it, and its return is noticed."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from support import a_call, eventually, locked, run, value

from tracker import Tracker
from tracker.errors import TransientError
from tracker.recording.circuit_breaker import CircuitBreaker
from tracker.recording.outbox.store import Outbox

DOWN = TransientError("refused", "Nothing answers.", "Wait.")


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def breaker(clock: Clock) -> CircuitBreaker:
    return CircuitBreaker(clock)


def test_closed_it_lets_everything_pass(breaker):
    assert all(breaker.allow_request() for _ in range(10))
    assert breaker.error is None


def test_open_it_lets_one_pass_a_step(breaker, clock):
    breaker.record_failure(DOWN)
    assert str(breaker.error) == str(DOWN)
    assert not breaker.allow_request()
    clock.now += 0.5
    assert [breaker.allow_request() for _ in range(5)] == [True] + [False] * 4
    clock.now += 0.5
    assert breaker.allow_request()


def test_its_steps_grow_to_a_limit_and_begin_anew_once_the_database_answered(breaker, clock):
    steps = []
    for _ in range(10):
        breaker.record_failure(DOWN)
        waited = 0.0
        while not breaker.allow_request():
            clock.now += 0.01
            waited += 0.01
        steps.append(waited)
    assert 0.25 <= steps[0] <= 0.52
    assert 7.5 <= steps[-1] <= 15.02
    breaker.record_success()
    assert breaker.allow_request()
    breaker.record_failure(DOWN)
    clock.now += 0.51
    assert breaker.allow_request()


def test_of_many_threads_one_is_the_probe(breaker, clock):
    breaker.record_failure(DOWN)
    clock.now += 1
    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(lambda _: breaker.allow_request(), range(200))) == 1


# --- in a Tracker -------------------------------------------------------------------------------------------------


def went_down(recorder: Tracker, proxy) -> None:
    recorder.record(a_call())
    proxy.swallow = True
    assert recorder.record(a_call(), 0.4).status == "queued"


def test_after_a_failure_records_wait_for_nothing(new_tracker, proxy):
    recorder = new_tracker(database_url=proxy.url, log_records=False)
    went_down(recorder, proxy)
    recorder._breaker._probe_at = time.monotonic() + 60
    before = proxy.connections
    started = time.monotonic()
    outcomes = [recorder.record(a_call()) for _ in range(50)]
    assert time.monotonic() - started < 5
    assert {outcome.status for outcome in outcomes} == {"queued"}
    assert "Not attempted" in outcomes[0].error
    assert proxy.connections - before <= 10  # the delivery thread's own tries


def test_when_the_database_is_back_records_go_straight_through_and_the_others_follow(new_tracker, proxy, database_url):
    recorder = new_tracker(database_url=proxy.url, log_records=False)
    went_down(recorder, proxy)
    recorder.record_many([a_call() for _ in range(5)])
    proxy.swallow = False
    eventually(lambda: recorder.record(a_call()).status == "recorded")
    eventually(lambda: recorder.outbox_depth().waiting == 0)
    assert recorder._breaker.error is None
    question = "SELECT count(*) = max(sequence) AND count(DISTINCT sequence) = count(*) FROM token_usage"
    assert value(database_url, question)


def test_on_serverless_a_probe_of_a_records_own_finds_the_database_back(new_tracker, proxy):
    recorder = new_tracker(database_url=proxy.url, platform="vercel", log_records=False)
    went_down(recorder, proxy)
    assert not recorder._queue.uses_worker
    proxy.swallow = False
    eventually(lambda: recorder.record(a_call()).status == "recorded")
    assert recorder.outbox_depth().waiting == 0  # it took the others along


def test_a_probe_tries_once(new_tracker):
    recorder = new_tracker(database_url="postgresql://u@127.0.0.1:1/db", max_retries=3, platform="vercel", deadline_s=1)
    assert recorder.record(a_call()).retry_count == 3
    recorder._breaker._probe_at = 0.0
    assert recorder.record(a_call()).retry_count == 0


@pytest.mark.parametrize("deadline_s", [0, 0.1])
def test_a_caller_without_time_does_not_open_the_circuit(new_tracker, proxy, deadline_s):
    recorder = new_tracker(database_url=proxy.url, platform="vercel")
    recorder.record(a_call())
    proxy.delay_to_client_ms = 300
    assert recorder.record(a_call(), deadline_s).status == "queued"
    proxy.delay_to_client_ms = 0
    assert recorder.record(a_call()).status == "recorded"


def test_a_busy_pool_does_not_open_the_circuit(new_tracker, database_url):
    recorder = new_tracker(pool_size=1, platform="vercel")
    recorder.record(a_call())
    with locked(database_url) as unlock, ThreadPoolExecutor(1) as pool:
        first = pool.submit(recorder.record, a_call(), 20)
        eventually(lambda: recorder.pool_stats().used == 1)
        assert "TRACKER_POOL_SIZE" in recorder.record(a_call(), 0.3).error
        assert recorder._breaker.error is None
        unlock()
        assert first.result(timeout=10).status == "recorded"


def test_a_round_without_a_statement_does_not_close_the_circuit(new_tracker, proxy):
    recorder = new_tracker(database_url=proxy.url, platform="vercel", deadline_s=1)
    went_down(recorder, proxy)
    with Outbox(recorder._queue.outbox.path).hold_drain_lock() as mine:
        assert mine
        assert recorder.flush(0.1) == 1
        assert recorder._breaker.error is not None


def test_a_refused_record_does_not_open_the_circuit(new_tracker, database_url):
    run(database_url, "ALTER TABLE token_usage ADD CONSTRAINT known CHECK (model LIKE 'gemini%')")
    recorder = new_tracker()
    assert recorder.record(a_call(model="gpt")).status == "failed"
    assert recorder.record(a_call()).status == "recorded"


def test_a_forked_child_begins_closed(breaker):
    breaker.record_failure(DOWN)
    breaker.reset()
    assert breaker.allow_request()
