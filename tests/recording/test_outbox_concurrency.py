"""Threads, processes and forks use one outbox file at once and lose no record; a locked file is waited for."""

from __future__ import annotations

import os
import random
import sqlite3
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import pytest
from recording_support import a_record
from support import child_environment, python

from tracker.errors import OutboxError
from tracker.recording.outbox.store import Outbox, QueuedRecord

APPEND = """
import os, sys
from pathlib import Path
from tracker.recording.outbox.store import Outbox, QueuedRecord
outbox, name = Outbox(Path(sys.argv[1])), sys.argv[2]
for number in range(int(sys.argv[3])):
    outbox.append(QueuedRecord(f"{name}-{number:06}", name, number, '{"n": %d}' % number), lock_timeout_s=30)
    os.write(1, b"%d\\n" % number)
"""
HOLD = """
import sys, time
from pathlib import Path
from tracker.recording.outbox.store import Outbox
with Outbox(Path(sys.argv[1])).hold_drain_lock() as mine:
    print(bool(mine), flush=True)
    sys.stdin.read()
"""


def start(code: str, *arguments: object) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", code, *map(str, arguments)]
    pipe = subprocess.PIPE
    return subprocess.Popen(command, env=child_environment(), stdin=pipe, stdout=pipe, text=True)


def test_another_process_sees_what_was_appended(new_outbox, path):
    new_outbox().append(a_record())
    assert new_outbox().next_records(10) == [a_record()]
    done = start(APPEND, path, "other", 3)
    assert done.wait(timeout=30) == 0
    done.communicate()
    assert new_outbox().depth().waiting == 4


def test_threads_that_append_and_remove_at_once_lose_nothing(new_outbox):
    outbox = new_outbox()

    def append(thread: int) -> None:
        for number in range(100):
            outbox.append(a_record(number, f"thread{thread}"))

    seen: set[QueuedRecord] = set()
    with ThreadPoolExecutor(9) as pool:
        appending = [pool.submit(append, thread) for thread in range(8)]
        while not all(future.done() for future in appending) or not outbox.empty():
            found = outbox.next_records(50)
            outbox.remove(found)
            seen.update(found)
        for future in appending:
            future.result()
    assert len(seen) == 800


def test_processes_that_append_at_once_lose_nothing(new_outbox, path):
    children = [start(APPEND, path, f"process{number}", 100) for number in range(4)]
    for child in children:
        child.communicate(timeout=60)
        assert child.returncode == 0
    assert new_outbox().depth().waiting == 400


def test_what_was_appended_survives_kill_9(new_outbox, path):
    child = start(APPEND, path, "killed", 1_000_000)
    for _ in range(random.randint(50, 500)):
        last = child.stdout.readline()
    child.kill()
    with child:
        rest = child.stdout.read()  # what was read ahead too, which communicate() leaves behind
    acknowledged = int((last + rest).split()[-1]) + 1
    found = new_outbox().next_records(1_000_000)
    assert [record.sequence for record in found] == list(range(len(found)))
    assert acknowledged <= len(found) <= acknowledged + 1


def test_one_drainer_at_a_time_across_processes(new_outbox, path):
    outbox = new_outbox()
    outbox.append(a_record())
    child = start(HOLD, path)
    assert child.stdout.readline() == "True\n"
    with outbox.hold_drain_lock() as mine:
        assert not mine
    child.kill()
    child.communicate(timeout=10)
    with outbox.hold_drain_lock() as mine, new_outbox().hold_drain_lock() as another:
        assert (bool(mine), another) == (True, None)


def test_a_fork_leaves_both_sides_their_own_outbox(new_outbox):
    outbox = new_outbox()
    outbox.append(a_record(0))
    with outbox.hold_drain_lock():
        outbox.before_fork()
        child = os.fork()
        if child == 0:
            try:
                outbox.after_fork()
                for number in range(100):
                    outbox.append(a_record(number, "child"))
                with outbox.hold_drain_lock() as mine:
                    os._exit(3 if mine else 0)
            finally:
                os._exit(1)
        for number in range(1, 100):
            outbox.append(a_record(number))
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert outbox.depth().waiting == 200
    with outbox.hold_drain_lock() as mine:
        assert mine


def test_an_outbox_that_was_open_at_a_fork_is_refused_in_the_child(new_outbox):
    outbox = new_outbox()
    outbox.append(a_record(0))
    child = os.fork()
    if child == 0:
        outbox.after_fork()
        try:
            outbox.append(a_record(1))
        except OutboxError as error:
            os._exit(0 if error.code == "outbox_inherited" else 2)
        os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    outbox.append(a_record(2))
    assert new_outbox().next_records(10) == [a_record(0), a_record(2)]


SEVERAL = """
import os, sys
from pathlib import Path
from tracker.recording.outbox.store import Outbox, QueuedRecord
one, other = Outbox(Path(sys.argv[1])), Outbox(Path(sys.argv[1]))
one.append(QueuedRecord("1", "one", 1, "{}"))
other.append(QueuedRecord("2", "other", 1, "{}"))
print("open", flush=True)
sys.stdin.readline()
one.append(QueuedRecord("3", "one", 2, "{}"))
print("appended", flush=True)
sys.stdin.read()
"""


def test_another_process_that_opens_the_file_does_not_disturb_its_users(new_outbox, path):
    child = start(SEVERAL, path)
    assert child.stdout.readline() == "open\n"
    with closing(Outbox(path)) as visitor:
        assert visitor.depth().waiting == 2
    child.stdin.write("\n")
    child.stdin.flush()
    assert child.stdout.readline() == "appended\n"
    child.kill()
    child.communicate(timeout=10)
    assert [record.id for record in new_outbox().next_records(10)] == ["1", "2", "3"]


def test_the_lock_of_another_process_is_waited_for_until_the_timeout(new_outbox, path):
    outbox = new_outbox()
    outbox.append(a_record())
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        started = time.monotonic()
        with pytest.raises(OutboxError, match="locked by another process") as raised:
            outbox.append(a_record(2), lock_timeout_s=0.2)
        assert 0.15 <= time.monotonic() - started < 2
        assert raised.value.code == "outbox_busy"
    outbox.append(a_record(2))


def test_threads_that_wait_for_a_locked_file_do_not_wait_for_one_another(new_outbox, path):
    outbox = new_outbox()
    outbox.append(a_record())
    with closing(sqlite3.connect(path, isolation_level=None)) as other, ThreadPoolExecutor(8) as pool:
        other.execute("BEGIN IMMEDIATE")

        def append(number: int) -> float:
            started = time.monotonic()
            with pytest.raises(OutboxError):
                outbox.append(a_record(number), lock_timeout_s=0.3)
            return time.monotonic() - started

        assert max(pool.map(append, range(8))) < 1.2


AT_ONCE = """
import sys, time
from pathlib import Path
from tracker.recording.outbox.store import Outbox
directory, start = Path(sys.argv[1]), float(sys.argv[2])
for number in range(25):
    time.sleep(max(0, start + number * 0.05 - time.time()))
    Outbox(directory / f"{number}.db").depth()
"""


def test_processes_that_begin_one_file_at_once_all_get_it(tmp_path):
    start = str(time.time() + 1)
    with ThreadPoolExecutor(3) as pool:
        for done in pool.map(lambda _: python("-c", AT_ONCE, str(tmp_path), start), range(3)):
            assert (done.returncode, done.stderr) == (0, "")
