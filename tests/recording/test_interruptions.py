"""An exception that a signal handler raises inside `record` leaves nothing behind, between whichever two bytecodes."""

from __future__ import annotations

import json

import pytest
from support import python, rows, value

from tracker.threads import AutoResetEvent, CallLock

# Raises KeyboardInterrupt before the n-th bytecode of our own modules in one call, and afterwards records again.
INTERRUPTED = """
import gc, json, os, sys, threading, time
sys.path.insert(0, "tests")
from support import a_call
import tracker
from tracker import Tracker

ROOT = os.path.dirname(tracker.__file__)
mode, step = sys.argv[1], int(sys.argv[2])
recorder = Tracker(mode=mode, pool_size=2, log_records=False, outbox=os.environ["PLACE"], deadline_s=3)
recorder.record(a_call())
entered = []

def interrupt_at(point):
    seen = 0
    def trace(frame, event, _):
        nonlocal seen
        if not frame.f_code.co_filename.startswith(ROOT):
            return None
        frame.f_trace_opcodes, frame.f_trace_lines = True, False
        if event == "opcode":
            seen += 1
            if seen == point:
                sys.settrace(None)
                raise KeyboardInterrupt
        return trace
    return trace, lambda: seen

point, missed, slow = 1, [], []
while True:
    usage = a_call()
    trace, seen = interrupt_at(point)
    interrupted = False
    sys.settrace(trace)
    try:
        recorder.record(usage, 3)
    except KeyboardInterrupt:
        interrupted = True
    finally:
        sys.settrace(None)
    entered.append(str(usage.id))
    if not interrupted:
        break
    after = a_call()
    started = time.monotonic()
    status = recorder.record(after, 3).status
    if time.monotonic() - started > 1:
        slow.append((point, time.monotonic() - started))
    entered.append(str(after.id))
    if status not in {"recorded", "queued"} or (mode == "direct" and status != "recorded"):
        missed.append((point, status))
    point += step
left = recorder.flush(30)
recorder.close()
end = time.monotonic() + 10
while recorder.pool_stats().used and time.monotonic() < end:
    time.sleep(0.01)  # the thread's last round
statistics = recorder.pool_stats()
os.write(1, json.dumps({"ids": entered, "missed": missed, "left": left, "points": point, "slow": slow,
                        "used": statistics.used}).encode())
"""


@pytest.mark.parametrize("mode", ["direct", "background"])
@pytest.mark.parametrize("much", [pytest.param(37, id="sampled"), pytest.param(1, id="all", marks=pytest.mark.long)])
@pytest.mark.timeout(900)
def test_an_interruption_at_any_bytecode_loses_no_record_and_stops_nothing(mode, much, database_url, tmp_path):
    env = {"DATABASE_URL": database_url, "PLACE": str(tmp_path / "outbox.db")}
    done = python("-c", INTERRUPTED, mode, str(much), env=env, timeout=800)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert (found["missed"], found["slow"], found["left"], found["used"]) == ([], [], 0, 0), found["points"]
    stored = {str(id_) for (id_,) in rows(database_url, "SELECT id FROM token_usage")}
    logged = {json.loads(line)["record"]["id"] for line in done.stderr.splitlines() if '"token_usage.failed"' in line}
    lost = [id_ for id_ in found["ids"] if id_ not in stored | logged]
    # Before its first bytecode and after its last one a call isn't inside `record`.
    assert len(lost) <= 2, (len(lost), len(found["ids"]))
    question = """
        SELECT count(*) FROM generate_series(1, (SELECT max(sequence) FROM token_usage)) AS number
        WHERE NOT EXISTS (SELECT 1 FROM token_usage WHERE sequence = number)"""
    assert value(database_url, question) == 0


def test_the_lock_of_an_interrupted_call_is_replaced_at_once():
    lock = CallLock()

    def interrupted() -> bool | None:
        return lock.acquire(0)  # and never released

    assert interrupted()
    assert lock.acquire(0.0) in {True, False}
    with lock:
        pass
    assert lock.acquire(0)
    lock.release()


def test_a_lock_detects_that_the_same_call_stack_has_it():
    lock = CallLock()

    def handler() -> bool | None:
        return lock.acquire(5)

    with lock:
        assert handler() is None
    assert lock.acquire(0)


def test_a_bell_that_rang_twice_wakes_once():
    event = AutoResetEvent()
    event.set()
    event.set()
    assert (event.wait(0), event.wait(0)) == (True, False)


GARBAGE_AT_EVERY_LOOK = """
import _thread, gc, sys, threading, time
from tracker import threads

class Local(threading.local):
    pass

held, done = threading.Event(), threading.Event()
places = []

def hold():
    frame = sys._getframe(0)
    places.append((_thread.get_ident(), id(frame), frame.f_code))
    del frame
    held.set()
    done.wait()

holder = threading.Thread(target=hold)
holder.start()
held.wait()
gc.set_threshold(1)
for _ in range(200):
    gc.disable()
    local = Local()
    local.itself = local
    del local
    gc.enable()
    assert threads.is_running(places[0])
gc.disable()
done.set()
holder.join()
assert not threads.is_running(places[0])
assert not gc.isenabled()
"""


def test_reading_another_threads_frames_never_deadlocks_with_the_garbage_collector():
    done = python("-c", GARBAGE_AT_EVERY_LOOK, timeout=30)
    assert (done.returncode, done.stderr) == (0, "")


FORK_IN_THE_PAUSE = """
import gc, os
from tracker.threads import CollectorPause
pause = CollectorPause()
with pause:
    assert not gc.isenabled()
    if (child := os.fork()) == 0:
        pause.reset_in_child()
        os._exit(0 if gc.isenabled() else 1)
    assert os.waitpid(child, 0)[1] == 0
assert gc.isenabled()
gc.disable()
with pause:
    pass
assert not gc.isenabled()
"""


def test_the_pause_of_the_garbage_collector_ends_in_a_forked_child_and_keeps_a_disabled_collector():
    done = python("-c", FORK_IN_THE_PAUSE, timeout=30)
    assert (done.returncode, done.stderr) == (0, "")
