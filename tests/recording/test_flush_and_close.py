"""`flush`, `close` and the end of a process deliver what is queued, within their time."""

from __future__ import annotations

import gc
import signal
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from recording_support import ENDS
from support import a_call, count, eventually, python, rows, run

from tracker import Tracker
from tracker.recording.outbox.store import Outbox

DELIVERIES = "SELECT delivery, count(*)::int FROM token_usage GROUP BY delivery ORDER BY delivery"


def test_flush_delivers_queued_records_and_returns_the_remaining_count(background, proxy, database_url):
    recorder = background(database_url=proxy.url, deadline_s=1)
    recorder.record_many([a_call() for _ in range(10)])
    assert recorder.flush(10) == 0
    assert count(database_url) == 10
    proxy.swallow = True
    recorder.record_many([a_call() for _ in range(3)])
    started = time.monotonic()
    assert recorder.flush(0.5) == 3
    assert time.monotonic() - started < 1.5
    assert recorder.outbox_depth().waiting == 3


def test_close_delivers_and_tells_the_ledger_the_last_number(background, database_url):
    recorder = background()
    recorder.record_many([a_call() for _ in range(7)])
    recorder.close()
    assert count(database_url) == 7
    assert rows(database_url, "SELECT kind, first_sequence, last_sequence FROM token_tracker_ledger") == [
        ("closed", 1, 7)
    ]
    assert recorder.pool_stats().idle == 0


def test_a_closed_tracker_opens_again(background, database_url):
    recorder = background()
    for _ in range(3):
        recorder.record(a_call())
        recorder.close()
    recorder.record(a_call())
    eventually(lambda: count(database_url) == 4)


def test_a_record_during_a_close_is_delivered(background, database_url):
    recorder = background()
    with ThreadPoolExecutor(2) as pool:
        recording = [pool.submit(lambda: [recorder.record(a_call()) for _ in range(300)]) for _ in range(2)]
        while not all(future.done() for future in recording):
            recorder.close()
    eventually(lambda: count(database_url) == 600)


def test_close_does_not_wait_for_a_database_that_is_down(background):
    recorder = background(database_url="postgresql://u@127.0.0.1:1/db")
    recorder.record(a_call())
    eventually(lambda: recorder._breaker.error)
    started = time.monotonic()
    recorder.close()
    assert time.monotonic() - started < 5
    assert recorder.outbox_depth().waiting == 1


@pytest.mark.parametrize("end", ["", "sys.exit(3)", "1 / 0", "recorder = None"])
def test_a_process_that_just_ends_delivers_first(database_url, end):
    done = python("-c", ENDS + end, env={"DATABASE_URL": database_url})
    assert ("Traceback" in done.stderr) == (end == "1 / 0"), done.stderr
    assert rows(database_url, DELIVERIES) == [("background", 50)]
    assert rows(database_url, "SELECT kind, last_sequence FROM token_tracker_ledger") == [("closed", 50)]


def test_a_process_that_records_just_before_its_end_loses_nothing(database_url, outbox_path):
    code = ENDS.replace("import os, sys", "import atexit, os, sys\natexit.register(lambda: recorder.record(a_call()))")
    done = python("-c", code, env={"DATABASE_URL": database_url})
    assert done.stderr == ""
    assert count(database_url) + Outbox(outbox_path).depth().waiting == 51


def test_a_signal_handler_may_close_the_tracker_at_any_time(database_url, outbox_path):
    code = """
import os, signal, sys
sys.path.insert(0, "tests")
from support import a_call
from tracker import Tracker
recorder = Tracker(mode=sys.argv[1], log_records=False)
closed = 0
def close(*_):
    global closed
    recorder.close()
    closed += 1
    signal.setitimer(signal.ITIMER_REAL, 0.003)
signal.signal(signal.SIGALRM, close)
signal.setitimer(signal.ITIMER_REAL, 0.001)
recorded = 0
while closed < 30:
    recorder.record(a_call())
    recorded += 1
signal.setitimer(signal.ITIMER_REAL, 0)
recorder.close()
print(recorded)
"""
    for mode in ("background", "direct"):
        run(database_url, "DELETE FROM token_usage")
        done = python("-c", code, mode, env={"DATABASE_URL": database_url}, timeout=60)
        assert "Traceback" not in done.stderr, done.stderr
        assert count(database_url) == int(done.stdout)


def test_a_tracker_without_references_still_delivers(background, database_url):
    def work() -> None:
        recorder = Tracker(mode="background", database_url=database_url, log_records=False)
        recorder.record_many([a_call() for _ in range(5)])

    work()
    gc.collect()
    eventually(lambda: count(database_url) == 5)


def test_no_signal_handler_is_installed(background):
    before = [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)]
    background().record(a_call())
    assert [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)] == before
