"""A refused record, a locked table, a failing outbox or a host without threads loses no other record."""

from __future__ import annotations

import json
import sqlite3
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, nullcontext

import pytest
from support import a_call, count, eventually, locked, python, rows, run

from tracker import Tracker
from tracker.recording.outbox.store import Outbox, QueuedRecord


@pytest.mark.parametrize("where", [0, 3, 9])
def test_a_poisoned_record_becomes_a_dead_letter_and_blocks_no_other(background, database_url, where):
    run(database_url, "ALTER TABLE token_usage ADD CONSTRAINT known CHECK (model LIKE 'gemini%')")
    recorder = background()
    calls = [a_call() for _ in range(10)]
    calls[where] = poisoned = a_call(model="gpt")
    recorder.record_many(calls)
    eventually(lambda: count(database_url) == 9)
    assert recorder.flush(10) == 0
    assert recorder.outbox_depth()[:2] == (0, 1)
    ((record, reason),) = recorder._queue.outbox.dead_letters()
    assert record.id == str(poisoned.id)
    assert "known" in reason
    eventually(
        lambda: (
            rows(database_url, "SELECT kind, first_sequence FROM token_tracker_ledger") == [("set_aside", where + 1)]
        )
    )


def test_a_record_that_a_trigger_refuses_becomes_a_dead_letter(background, database_url):
    run(
        database_url,
        "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS"
        " 'BEGIN IF NEW.model = ''gpt'' THEN RAISE EXCEPTION ''hunter2''; END IF; RETURN NEW; END'",
        "CREATE TRIGGER refuse BEFORE INSERT ON token_usage FOR EACH ROW EXECUTE FUNCTION refuse()",
    )
    recorder = background()
    recorder.record_many([a_call(), a_call(model="gpt"), a_call()])
    eventually(lambda: count(database_url) == 2)
    eventually(lambda: recorder.outbox_depth()[:2] == (0, 1))


def test_a_record_with_invalid_json_becomes_a_dead_letter(background, database_url, outbox_path):
    with closing(Outbox(outbox_path)) as outbox:
        outbox.append(QueuedRecord("0", "nobody", 1, '{"id": "broken'))
        outbox.append(QueuedRecord("1", "nobody", 2, '{"id": "no uuid", "sequence": 2}'))
    recorder = background()
    recorder.record_many([a_call() for _ in range(3)])
    assert recorder.flush(10) == 0
    assert count(database_url) == 3
    assert recorder.outbox_depth()[:2] == (0, 2)


def test_a_locked_table_blocks_no_caller(background, database_url):
    recorder = background()
    recorder.record(a_call())
    assert recorder.flush(10) == 0
    with locked(database_url):
        started = time.monotonic()
        assert {o.status for o in recorder.record_many([a_call() for _ in range(100)])} == {"queued"}
        assert time.monotonic() - started < 5
        assert count_waiting(recorder) == 100
    eventually(lambda: count(database_url) == 101)


def count_waiting(recorder: Tracker) -> int:
    return recorder.outbox_depth().waiting


@pytest.mark.parametrize("place", ["a directory", "a full outbox"])
def test_records_are_written_directly_if_the_outbox_fails(background, database_url, tmp_path, caplog, place):
    path = tmp_path / "outbox.db"
    if place == "a directory":
        path.mkdir()
    else:
        with closing(Outbox(path, max_mb=1)) as outbox, pytest.raises(Exception, match="full"):
            for number in range(3000):
                outbox.append(QueuedRecord(str(number), "nobody", number, "x" * 800))
    usages = [a_call(metadata={"text": "x" * 10_000}) for _ in range(5)]
    with nullcontext() if path.is_dir() else Outbox(path).hold_drain_lock():  # or it would have room in a moment
        recorder = background(outbox=path, outbox_max_mb=1)
        assert {recorder.record(usage).status for usage in usages} == {"recorded"}
    found = rows(database_url, "SELECT id, sequence FROM token_usage WHERE model LIKE 'gemini%' ORDER BY 2")
    assert found == [(str(usage.id), number) for number, usage in enumerate(usages, start=1)]
    lines = [json.loads(line) for line in caplog.messages if "token_usage.unqueued" in line]
    assert [line["record"]["id"] for line in lines] == [str(usage.id) for usage in usages]
    assert [line["record"]["sequence"] for line in lines] == [1, 2, 3, 4, 5]
    assert any("token_tracking_failure" in line for line in caplog.messages)


@pytest.mark.parametrize("mode", ["background", "direct"])
def test_an_outbox_that_stays_locked_costs_no_more_than_the_deadline(new_tracker, proxy, outbox_path, mode):
    recorder = new_tracker(mode=mode, database_url=proxy.url, deadline_s=1, log_records=False)
    recorder.record(a_call())
    assert recorder.flush(10) == 0
    with closing(sqlite3.connect(outbox_path, isolation_level=None)) as other, ThreadPoolExecutor(8) as pool:
        other.execute("BEGIN IMMEDIATE")
        proxy.swallow = True

        def work(_: int) -> tuple[str, float]:
            started = time.monotonic()
            return recorder.record(a_call()).status, time.monotonic() - started

        for status, took in pool.map(work, range(8)):
            assert status == "queued"
            assert took <= 1 * 1.2 + 0.1, took
        proxy.swallow = False
    assert recorder.flush(20) == 0


def test_a_host_without_threads_left_loses_nothing(database_url, outbox_path):
    code = """
import sys, threading
sys.path.insert(0, "tests")
from support import a_call
from tracker import Tracker
recorder = Tracker(mode=sys.argv[1], log_records=False, alert_urls="http://127.0.0.1:1/")
threading.stack_size(1 << 46)  # more than there is: no thread can be started
print({recorder.record(a_call()).status for _ in range(3)})  # without a watchdog nothing is sent
recorder._queue and recorder._queue.notices.alert("test", "An alert.")
threading.stack_size(0)
print({recorder.record(a_call()).status for _ in range(3)})
"""
    for mode, status in (("direct", "recorded"), ("background", "queued")):
        run(database_url, "DELETE FROM token_usage")
        done = python("-c", code, mode, env={"DATABASE_URL": database_url})
        assert "Traceback" not in done.stderr, done.stderr
        assert done.stdout == f"{{'queued'}}\n{{'{status}'}}\n"
        assert count(database_url) == 6
