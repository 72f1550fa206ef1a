"""Delivery goes on without a process that was stopped, and what waits is never called missing."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import pytest
from support import a_call, child_environment, eventually, rows, run, value
from test_faults import missing_by_the_ledger

from tracker import settings
from tracker.cli import main
from tracker.database.url import clean
from tracker.diagnostics.local_outboxes import outbox_state
from tracker.errors import OutboxError
from tracker.recording.outbox.paths import fallback_file
from tracker.recording.outbox.store import Outbox, QueuedRecord

COUNT = "SELECT count(*)::int FROM token_usage"
HOLD = """
import sys
from pathlib import Path
from tracker.recording.outbox.store import Outbox
with Outbox(Path(sys.argv[1])).hold_drain_lock() as lease:
    lease.begin()
    print("held", flush=True)
    sys.stdin.read()
"""
DELIVERS = """
import os, sys
sys.path.insert(0, "tests")
from support import a_call
from tracker import Tracker
recorder = Tracker(mode="background", log_records=False, deadline_s=20)
for number in range(50):
    assert recorder.record(a_call(session_id=str(number))).status == "queued"
print("recorded", flush=True)
sys.stdin.readline()
for number in range(50, 60):
    assert recorder.record(a_call(session_id=str(number))).status == "queued"
recorder.close()
print("closed", flush=True)
"""
IN_TRANSACTION = """
import sqlite3, sys
database = sqlite3.connect(sys.argv[1], isolation_level=None)
database.execute("BEGIN IMMEDIATE")
print("locked", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "outbox.db"


@pytest.fixture
def start() -> Iterator[object]:
    """Starts processes that are ended after the test, also when they are stopped."""
    started: list[subprocess.Popen[str]] = []

    def begin(code: str, *arguments: object, env: dict[str, str] | None = None) -> subprocess.Popen[str]:
        command = [sys.executable, "-c", code, *map(str, arguments)]
        pipe = subprocess.PIPE
        started.append(
            subprocess.Popen(command, env=child_environment(env), stdin=pipe, stdout=pipe, text=True, cwd=None)
        )
        return started[-1]

    yield begin
    for process in started:
        process.kill()
        process.communicate(timeout=10)


def a_record(number: int, instance: str = "one") -> QueuedRecord:
    return QueuedRecord(f"{instance}-{number:06}", instance, number, f'{{"n": {number}}}')


# --- generations --------------------------------------------------------------------------------------------------


def test_a_lock_holder_without_a_heartbeat_is_replaced_and_makes_no_changes(path, monkeypatch):
    with closing(Outbox(path)) as stopped, closing(Outbox(path)) as other:
        for number in range(3):
            stopped.append(a_record(number))
        with stopped.hold_drain_lock() as lease:
            lease.begin()
            with other.hold_drain_lock() as busy:
                assert busy is None
            monkeypatch.setattr("tracker.recording.outbox.drain_lock.STALE_S", 0.3)
            time.sleep(0.35)
            with other.hold_drain_lock() as following:
                assert following.generation == lease.generation + 1
                for change in (lease.renew, lease.begin, lambda: stopped.remove([a_record(1)], lease)):
                    with pytest.raises(OutboxError) as caught:
                        change()
                    assert caught.value.code == "drain_superseded"
                other.remove([a_record(0)], following)
        assert stopped.depth().waiting == 2
        with stopped.hold_drain_lock() as again:
            assert again.generation == following.generation


def test_a_heartbeat_with_each_batch_keeps_the_lock(path, monkeypatch):
    monkeypatch.setattr("tracker.recording.outbox.drain_lock.STALE_S", 0.4)
    with closing(Outbox(path)) as holder, closing(Outbox(path)) as other:
        holder.append(a_record(1))
        with holder.hold_drain_lock() as lease:
            lease.begin()
            for _ in range(6):
                time.sleep(0.15)
                lease.renew()
                with other.hold_drain_lock() as busy:
                    assert busy is None


def test_a_process_that_is_stopped_during_delivery_blocks_no_other(
    start, proxy, database_url, path, new_tracker, monkeypatch
):
    env = {"DATABASE_URL": proxy.url, "TRACKER_OUTBOX": str(path)}
    proxy.delay_to_server_ms = 400
    child = start(DELIVERS, env={**env, "PYTHONPATH": "tests:."})
    assert child.stdout.readline() == "recorded\n"
    eventually(lambda: any("json_to_recordset" in text for text in proxy.statements), 20)
    os.kill(child.pid, signal.SIGSTOP)
    monkeypatch.setattr("tracker.recording.outbox.drain_lock.STALE_S", 1.0)
    recorder = new_tracker(mode="background", outbox=path, log_records=False)
    recorder.record(a_call(session_id="mine"))
    eventually(lambda: value(database_url, COUNT) == 51, 30)
    proxy.delay_to_server_ms = 0
    os.kill(child.pid, signal.SIGCONT)
    child.stdin.write("\n")
    child.stdin.flush()
    assert child.stdout.readline() == "closed\n"
    eventually(lambda: recorder.flush(10) == 0, 30)
    recorder.close()
    assert value(database_url, COUNT) == 61
    assert value(database_url, "SELECT count(DISTINCT session_id)::int FROM token_usage") == 61
    run(database_url, "UPDATE token_usage SET recorded_at = recorded_at - interval '16 minutes'")
    assert missing_by_the_ledger(database_url) == 0


def test_drain_and_the_log_name_the_process_that_holds_the_lock(
    start, proxy, database_url, path, new_tracker, capsys, caplog, monkeypatch
):
    monkeypatch.setenv("DATABASE_URL", database_url)
    monkeypatch.setenv("TRACKER_OUTBOX", str(path))
    with closing(Outbox(path)) as outbox:
        outbox.append(QueuedRecord(str(uuid.uuid4()), str(uuid.uuid4()), 1, "{}"))
    child = start(HOLD, path)
    assert child.stdout.readline() == "held\n"
    recorder = new_tracker(mode="background", outbox=path, log_records=False)
    recorder.record(a_call())
    recorder.flush(0.5)
    assert any(f"process {child.pid} (" in line for line in caplog.messages)
    assert main(["outbox", "drain", "--timeout", "1"]) == 1
    assert f"process {child.pid} (" in capsys.readouterr().err


# --- a file that stays locked -------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["direct", "background"])
def test_records_go_into_a_second_file_while_the_first_stays_locked(
    start, proxy, database_url, path, new_tracker, mode, monkeypatch, capsys
):
    recorder = new_tracker(mode=mode, database_url=proxy.url, outbox=path, log_records=False, max_retries=0)
    proxy.swallow = True
    assert recorder.record(a_call(), 0.5).status == "queued"
    child = start(IN_TRANSACTION, path)
    assert child.stdout.readline() == "locked\n"
    os.kill(child.pid, signal.SIGSTOP)
    assert {recorder.record(a_call(), 1).status for _ in range(5)} == {"queued"}
    monkeypatch.setenv("DATABASE_URL", database_url)
    monkeypatch.setenv("TRACKER_OUTBOX", str(path))
    main(["outbox", "list"])
    listed = capsys.readouterr().out
    assert f"{fallback_file(path)} (written while" in listed
    assert "5 waiting" in listed
    state = outbox_state(settings.load(), clean(database_url), now=time.time())
    assert {file["path"]: file.get("waiting") for file in state["files"]}[str(fallback_file(path))] == 5
    child.kill()
    proxy.swallow = False
    assert main(["outbox", "drain"]) == 0
    assert value(database_url, COUNT) == 6
    recorder.flush(10)
    recorder.close()
    run(database_url, "UPDATE token_usage SET recorded_at = recorded_at - interval '16 minutes'")
    assert missing_by_the_ledger(database_url) == 0


# --- the ledger ---------------------------------------------------------------------------------------------------


def aged(url: str) -> int:
    run(url, "UPDATE token_usage SET recorded_at = recorded_at - interval '16 minutes'")
    return missing_by_the_ledger(url)


@pytest.mark.parametrize("platform", ["server", "vercel"])
def test_queued_records_are_reported_while_another_process_has_the_lock(
    start, proxy, database_url, path, new_tracker, platform
):
    with closing(Outbox(path)) as outbox:
        assert outbox.empty()
    child = start(HOLD, path)
    assert child.stdout.readline() == "held\n"
    given = {"database_url": proxy.url, "outbox": path, "log_records": False, "platform": platform}
    recorder = new_tracker(**given, max_retries=0)
    assert recorder.record(a_call()).status == "recorded"
    proxy.swallow = True
    assert {recorder.record(a_call(), 0.3).status for _ in range(20)} == {"queued"}
    proxy.swallow = False
    proxy.forget()
    eventually(lambda: recorder.record(a_call(), 3).status == "recorded", 30)
    texts = [text for text in proxy.statements if "INSERT INTO" in text]
    assert "token_tracker_ledger" in texts[0]
    assert aged(database_url) == 0
    assert value(database_url, COUNT) == 2


def test_a_background_record_that_is_written_directly_makes_no_earlier_one_look_lost(
    start, database_url, path, new_tracker
):
    with closing(Outbox(path)) as outbox:
        assert outbox.empty()
    child = start(HOLD, path)
    assert child.stdout.readline() == "held\n"
    recorder = new_tracker(mode="background", outbox=path, log_records=False)
    for _ in range(30):
        assert recorder.record(a_call()).status == "queued"
    with closing(Outbox(fallback_file(path))) as second:
        assert second.empty()
    with ExitStack() as stack:
        for file in (path, fallback_file(path)):
            stack.enter_context(closing(sqlite3.connect(file, isolation_level=None))).execute("BEGIN IMMEDIATE")
        assert recorder.record(a_call(), 3).status == "recorded"
    assert value(database_url, COUNT) == 1
    assert aged(database_url) == 0


def test_the_records_of_a_dead_process_are_reported_by_another_one(start, database_url, path, new_tracker):
    dead = str(uuid.uuid4())
    for sequence in (1, 6):
        run(
            database_url,
            "INSERT INTO token_usage (model, input_tokens, output_tokens, total_tokens, instance_id, sequence)"
            f" VALUES ('m', 1, 1, 2, '{dead}', {sequence})",
        )
    with closing(Outbox(path)) as outbox:
        for sequence in range(2, 6):
            outbox.append(QueuedRecord(str(uuid.uuid4()), dead, sequence, json.dumps({"environment": "x"})))
    child = start(HOLD, path)
    assert child.stdout.readline() == "held\n"
    assert aged(database_url) == 4
    recorder = new_tracker(mode="background", outbox=path, log_records=False)
    assert recorder.flush(0.5) == 4
    assert aged(database_url) == 0
    assert rows(database_url, "SELECT first_sequence, last_sequence FROM token_tracker_ledger") == [(2, 5)]
