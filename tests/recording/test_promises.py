"""What `record` promises whatever the host does: no exception, no hang, nothing acknowledged that isn't safe."""

from __future__ import annotations

import json
import logging
import os
import sqlite3
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from datetime import timedelta
from pathlib import Path

import pytest
from support import a_call, eventually, python, rows, value

from tracker import Tracker
from tracker.errors import OutboxError
from tracker.recording.outbox.paths import fallback_file
from tracker.recording.outbox.store import Outbox, QueuedRecord

BOTH = pytest.mark.parametrize("mode", ["direct", "background"])
COUNT = "SELECT count(*)::int FROM token_usage"


def sessions(path: Path) -> list[str]:
    """The sessions of the records that wait in a file."""
    with closing(Outbox(path)) as outbox:
        return [json.loads(record.document)["session_id"] for record in outbox.next_records(10)]


@pytest.fixture
def outbox_path(tmp_path: Path) -> Path:
    return tmp_path / "outbox.db"


# --- a place that is somebody else's ------------------------------------------------------------------------------


def somebody_elses(path: Path, what: str) -> None:
    if what == "text":
        path.write_text("Not to be touched.\n" * 500)
    elif what == "nothing that SQLite can read":
        path.write_bytes(bytes(range(1, 255)) * 100)
    else:
        with closing(sqlite3.connect(path)) as database:
            name = "notes" if what == "a database with a table of our name" else "customers"
            database.execute(f"CREATE TABLE {name} (name TEXT)")
            database.execute(f"INSERT INTO {name} VALUES ('Ada')")
            database.commit()


@BOTH
@pytest.mark.parametrize(
    "what", ["text", "nothing that SQLite can read", "a database", "a database with a table of our name"]
)
def test_a_file_that_never_was_an_outbox_is_left_as_it_is(new_tracker, proxy, outbox_path, mode, what, caplog):
    somebody_elses(outbox_path, what)
    before = outbox_path.read_bytes()
    proxy.swallow = True
    recorder = new_tracker(mode=mode, database_url=proxy.url, outbox=outbox_path, deadline_s=0.3)
    assert recorder.record(a_call()).status == "failed"
    assert recorder.flush(1) == 0
    recorder.close()
    assert outbox_path.read_bytes() == before
    assert [path.name for path in outbox_path.parent.iterdir()] == ["outbox.db"]
    assert any("is not an outbox" in line and "token_tracking_failure" in line for line in caplog.messages)
    assert any('"token_usage.failed"' in line for line in caplog.messages)
    proxy.swallow = False


def test_an_outbox_from_before_files_were_marked_is_still_one(outbox_path):
    with closing(Outbox(outbox_path)) as outbox:
        outbox.append(QueuedRecord("1", "one", 1, "{}"))
    with closing(sqlite3.connect(outbox_path)) as database:
        database.execute("PRAGMA application_id = 0")
    with closing(Outbox(outbox_path)) as outbox:
        assert outbox.depth().waiting == 1


@BOTH
@pytest.mark.parametrize("name", ["with\0nothing", "with\nlines?and%20signs#'\".db", "한국어 上.db", "caf\udce9.db"])
def test_no_name_of_a_file_makes_record_raise(new_tracker, proxy, tmp_path, mode, name):
    proxy.swallow = True
    recorder = new_tracker(mode=mode, database_url=proxy.url, outbox=f"{tmp_path}/{name}", deadline_s=0.3)
    status = recorder.record(a_call()).status
    assert status == ("failed" if "\0" in name else "queued")
    proxy.swallow = False
    assert recorder.flush(10) == 0


def test_a_host_that_changes_its_directory_keeps_its_outbox(new_tracker, proxy, tmp_path, monkeypatch):
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path)
    proxy.swallow = True
    recorder = new_tracker(mode="background", database_url=proxy.url, outbox="outbox.db", log_records=False)
    monkeypatch.chdir(tmp_path / "elsewhere")
    recorder.record(a_call())
    monkeypatch.chdir("/")
    recorder.record(a_call())
    assert recorder.outbox_depth().waiting == 2
    assert (tmp_path / "outbox.db").exists()
    assert list((tmp_path / "elsewhere").iterdir()) == []
    proxy.swallow = False


# --- the host's own doings ----------------------------------------------------------------------------------------


@BOTH
def test_a_filter_of_the_hosts_log_that_raises_harms_no_record(new_tracker, proxy, mode):
    class Broken(logging.Filter):
        def filter(self, record: logging.LogRecord) -> bool:
            raise RuntimeError("the host's own")

    broken, log = Broken(), logging.getLogger("tracker")
    recorder = new_tracker(mode=mode, database_url=proxy.url, deadline_s=0.3)
    log.addFilter(broken)
    try:
        assert recorder.record(a_call()).status in {"recorded", "queued"}
        assert recorder.flush(10) == 0
        proxy.swallow = True
        assert recorder.record(a_call()).status == "queued"
    finally:
        log.removeFilter(broken)
        proxy.swallow = False


def test_a_queued_record_is_on_standard_error_where_the_apps_level_drops_the_line(proxy, tmp_path):
    code = """
import logging, sys
sys.path.insert(0, "tests")
from support import a_call
from tracker import Tracker
logging.basicConfig(level=sys.argv[1])
print(Tracker(mode="direct", deadline_s=0.3).record(a_call(session_id="this one")).status)
"""
    proxy.swallow = True
    env = {"DATABASE_URL": proxy.url, "TRACKER_PLATFORM": "aws_lambda", "TRACKER_OUTBOX": str(tmp_path / "o.db")}
    for level in ("WARNING", "CRITICAL"):
        done = python("-c", code, level, env=env)
        assert done.stdout == "queued\n"
        assert done.stderr.count('"session_id": "this one"') == 1, done.stderr
    proxy.swallow = False


HANDLER = """
import os, signal, sys
sys.path.insert(0, "tests")
from support import a_call
from tracker import Tracker
from tracker.recording.outbox.store import _transaction
recorder = Tracker(mode="background", database_url="", log_records=False)
outbox = recorder._get_queue().outbox
recorder.record(a_call(session_id="before"))
def handle(*_):
    os.write(1, recorder.record(a_call(session_id="handler")).status.encode())
    if sys.argv[1] == "killed":
        os._exit(0)      # as abruptly as kill -9: what was acknowledged must be safe by now
    if sys.argv[1] == "exit":
        sys.exit(3)
signal.signal(signal.SIGALRM, handle)
interrupted = []
def work(database):
    with _transaction(database):
        database.execute("DELETE FROM records WHERE document LIKE '%before%'")
        if not interrupted:
            interrupted.append(True)
            os.kill(os.getpid(), signal.SIGALRM)
        database.execute("SELECT 1")
outbox.do(work)
"""


@pytest.mark.parametrize(
    ("end", "code", "left"),
    [("killed", 0, ["before", "handler"]), ("exit", 3, ["before", "handler"]), ("goes on", 0, ["handler"])],
)
def test_what_a_signal_handler_records_is_safe_once_it_is_acknowledged(outbox_path, end, code, left):
    """Also in the middle of a transaction of ours, which goes on, or doesn't, as if nothing had been."""
    done = python("-c", HANDLER, end, env={"TRACKER_OUTBOX": str(outbox_path)})
    assert (done.stdout, done.returncode) == ("queued", code), done.stderr
    assert sessions(outbox_path) + sessions(fallback_file(outbox_path)) == left


LAST_MOMENT = """
import sys
sys.path.insert(0, "tests")
from support import a_call
from tracker import Tracker
recorder = Tracker(mode=sys.argv[1], log_records=False)
class Late:
    def __del__(self, usage=a_call(session_id="late"), recorder=recorder, write=sys.__stdout__.write):
        write(recorder.record(usage, 2).status)
        sys.__stdout__.flush()
late = Late()
late.itself = late
sys.late = late
"""


@BOTH
def test_a_record_while_the_interpreter_is_taken_apart_hangs_nothing(database_url, outbox_path, mode):
    started = time.monotonic()
    done = python("-c", LAST_MOMENT, mode, env={"DATABASE_URL": database_url, "TRACKER_OUTBOX": str(outbox_path)})
    assert time.monotonic() - started < 30
    if done.stdout == "queued":
        with closing(Outbox(outbox_path)) as outbox:
            assert outbox.depth().waiting == 1
    else:
        assert done.stdout in {"", "recorded", "failed"}, done.stderr


@BOTH
def test_a_process_in_which_no_thread_can_start_any_more_delivers_at_its_end(database_url, outbox_path, mode):
    """As from Python 3.12 on, once the process ends."""
    code = """
import sys, threading
sys.path.insert(0, "tests")
from support import a_call
from tracker import Tracker
recorder = Tracker(mode=sys.argv[1], log_records=False)
for _ in range(5):
    recorder.record(a_call())
def start(thread):
    raise RuntimeError("can't create new thread at interpreter shutdown")
threading.Thread.start = start
"""
    done = python("-c", code, mode, env={"DATABASE_URL": database_url, "TRACKER_OUTBOX": str(outbox_path)})
    assert done.stderr == ""
    assert value(database_url, COUNT) == 5


def test_a_python_without_sqlite_still_records(database_url):
    code = """
import sys
sys.modules["sqlite3"] = None
sys.path.insert(0, "tests")
from support import a_call
from tracker import Tracker
print(Tracker(mode=sys.argv[1]).record(a_call(), 2).status)
"""
    for mode in ("direct", "background"):
        done = python("-c", code, mode, env={"DATABASE_URL": database_url})
        assert done.stdout == "recorded\n", done.stderr
        done = python("-c", code, mode, env={"DATABASE_URL": "postgresql://u@127.0.0.1:1/db"})
        assert (done.stdout, done.stderr.count('"token_usage.failed"')) == ("failed\n", 1), done.stderr


@pytest.mark.parametrize("deadline_s", [float("nan"), -1.0, -float("inf"), 0.0])
def test_no_deadline_makes_record_raise(recorder, deadline_s):
    assert recorder.record(a_call(), deadline_s).status in {"recorded", "queued"}


# --- counting what waits ------------------------------------------------------------------------------------------


def test_a_clock_that_jumps_back_hides_no_record(new_tracker, proxy, database_url, monkeypatch):
    proxy.swallow = True
    recorder = new_tracker(mode="background", database_url=proxy.url, log_records=False, deadline_s=0.5)
    recorder.record(a_call())
    real = time.time
    monkeypatch.setattr(time, "time", lambda: real() - timedelta(days=1).total_seconds())
    assert recorder.flush(0.3) == 1
    recorder.close()
    proxy.swallow = False
    assert recorder.flush(20) == 0
    assert value(database_url, COUNT) == 1


def test_flush_calls_no_outbox_empty_that_it_cannot_read(new_tracker, proxy, outbox_path):
    proxy.swallow = True
    recorder = new_tracker(mode="background", database_url=proxy.url, outbox=outbox_path, log_records=False)
    recorder.record(a_call())
    with closing(sqlite3.connect(outbox_path, isolation_level=None)) as other:
        other.execute("PRAGMA locking_mode = EXCLUSIVE")
        recorder._queue.outbox.close()
        with suppress(sqlite3.OperationalError):
            other.execute("BEGIN EXCLUSIVE")
            other.execute("DELETE FROM notes")
        assert recorder.flush(0.2) == 1
    proxy.swallow = False
    assert recorder.flush(20) == 0


def test_the_last_number_of_an_instance_never_decreases(recorder):
    instance = recorder._instance
    seen: list[int] = []

    def work() -> None:
        for _ in range(3000):
            number = instance.assign_sequence([])
            if instance.last_sequence < number:
                seen.append(number)

    sys.setswitchinterval(1e-6)
    try:
        with ThreadPoolExecutor(8) as pool:
            for _ in range(8):
                pool.submit(work)
    finally:
        sys.setswitchinterval(0.005)
    assert (seen, instance.last_sequence) == ([], 24_000)


# --- large and slow -----------------------------------------------------------------------------------------------


def test_many_large_records_go_in_statements_of_a_bounded_size(new_tracker, proxy, database_url):
    with_text = [a_call(metadata={"text": "x" * 400_000}) for _ in range(25)]
    recorder = new_tracker(mode="background", database_url=proxy.url, log_records=False)
    proxy.swallow = True
    recorder.record_many(with_text)
    proxy.swallow = False
    proxy.forget()
    assert recorder.flush(30) == 0
    assert value(database_url, COUNT) == 25
    inserts = [len(text) for text in proxy.statements if "json_to_recordset" in text and "token_usage" in text]
    assert max(inserts) < 5_000_000
    assert len(inserts) >= 3


def test_a_line_too_slow_for_a_batch_gets_smaller_ones(new_tracker, proxy, database_url, monkeypatch):
    """Each message of the server takes its time; a statement that isn't answered in time is sent in parts."""
    recorder = new_tracker(mode="direct", database_url=proxy.url, log_records=False, platform="vercel")
    queue = recorder._get_queue()
    drainer = queue._drainer(queue.outbox)
    sizes: list[int] = []
    original = drainer._delivery.deliver_queued

    def deliver(documents, delivery_info, deadline, attempts):
        sizes.append(len(documents))
        if len(documents) > 20:  # what the line takes
            deadline = 0.0
        return original(documents, delivery_info, deadline, attempts)

    monkeypatch.setattr(drainer._delivery, "deliver_queued", deliver)
    for _ in range(100):
        usage = a_call()
        row = {**recorder._instance.row(usage, "direct"), "sequence": recorder._instance.assign_sequence([])}
        recorder._queue.enqueue(row, 1)
    assert recorder.flush(60) == 0
    assert value(database_url, COUNT) == 100
    assert sizes[0] == 100
    assert max(sizes[sizes.index(max(size for size in sizes if size <= 20)) :]) <= 100


def test_an_invalid_document_in_a_full_batch_blocks_no_other(new_tracker, database_url, outbox_path, monkeypatch):
    monkeypatch.setattr("tracker.recording.outbox.drain.BATCH_ROWS", 10)
    recorder = new_tracker(mode="direct", outbox=outbox_path, platform="vercel", log_records=False)
    queue = recorder._get_queue()
    queue._drainer(queue.outbox)._batch_rows = 10
    for number in range(30):
        row = {**recorder._instance.row(a_call(), "direct"), "sequence": recorder._instance.assign_sequence([])}
        queue.enqueue(row, 1)
        if number % 7 == 6:
            outbox = queue.outbox
            record = outbox.next_records(1000)[-1]
            outbox.remove([record])
            outbox.append(record._replace(document=record.document[:50]))
    assert recorder.flush(30) == 0
    assert value(database_url, COUNT) == 26
    assert recorder.outbox_depth().dead_letters == 4


def test_the_next_batch_is_read_while_the_server_is_at_one_and_nothing_is_left(new_tracker, database_url, outbox_path):
    offline = Tracker(mode="background", database_url="", outbox=outbox_path, log_records=False)
    with offline:
        for number in range(2500):
            offline.record(a_call(session_id=str(number)))
    recorder = new_tracker(mode="background", outbox=outbox_path, log_records=False)
    with ThreadPoolExecutor(2) as pool:  # others record meanwhile
        for part in (range(2500, 2700), range(2700, 2900)):
            pool.submit(lambda part=part: [recorder.record(a_call(session_id=str(number))) for number in part])
    assert recorder.flush(30) == 0
    assert value(database_url, "SELECT count(DISTINCT session_id)::int FROM token_usage") == 2900
    assert value(database_url, COUNT) == 2900
    assert rows(database_url, "SELECT kind FROM token_tracker_ledger WHERE kind = 'waiting'") == []


# --- time ---------------------------------------------------------------------------------------------------------


@BOTH
def test_a_short_deadline_holds_with_a_locked_outbox_too(new_tracker, proxy, outbox_path, mode):
    recorder = new_tracker(mode=mode, database_url=proxy.url, outbox=outbox_path, deadline_s=0.5, log_records=False)
    recorder.record(a_call())
    assert recorder.flush(10) == 0
    proxy.swallow = True
    with closing(sqlite3.connect(outbox_path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        took = []
        for _ in range(3):
            started = time.monotonic()
            assert recorder.record(a_call()).status == "queued"
            took.append(time.monotonic() - started)
    assert min(took) <= 0.5 * 1.2, took
    with closing(Outbox(fallback_file(outbox_path))) as second:
        assert second.depth().waiting == 3
    proxy.swallow = False
    assert recorder.flush(20) == 0


def test_a_process_that_is_stopped_during_a_repair_blocks_no_other(outbox_path):
    with closing(Outbox(outbox_path)) as outbox:
        assert outbox.empty()
        outbox.close()
        outbox_path.write_bytes(os.urandom(20_000))
        with outbox._locks.hold("repair"), closing(Outbox(outbox_path)) as other:
            started = time.monotonic()
            with pytest.raises(OutboxError, match="stayed locked"):
                other.append(QueuedRecord("1", "one", 1, "{}"), lock_timeout_s=0.2)
            assert time.monotonic() - started < 2
        outbox.append(QueuedRecord("1", "one", 1, "{}"))


def test_the_worker_thread_survives_an_exception_of_its_alarm(new_tracker, proxy, database_url, monkeypatch):
    recorder: Tracker = new_tracker(mode="background", database_url=proxy.url, log_records=False, deadline_s=0.3)
    raised: list[Exception] = []

    def broken(error: Exception, _: float) -> None:
        raised.append(error)
        raise RuntimeError("the host's own")

    monkeypatch.setattr(recorder._get_queue(), "on_delivery_failure", broken)
    proxy.swallow = True
    recorder.record(a_call())
    eventually(lambda: raised, 20)
    proxy.swallow = False
    eventually(lambda: value(database_url, COUNT) == 1, 20)


def test_an_action_that_raises_does_not_end_other_deadlines():
    from tracker.database.watchdog import Timer

    timer = Timer()
    done: list[int] = []

    def broken() -> None:
        raise RuntimeError("broken")

    assert timer.schedule(time.monotonic(), broken)
    assert timer.schedule(time.monotonic() + 0.01, lambda: done.append(1))
    eventually(lambda: done)
