"""Recording needs no more memory, file descriptors, threads or disk the longer a state lasts."""

from __future__ import annotations

import gc
import json
import socket
import sqlite3
import subprocess
import sys
import threading
import time
import traceback
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

import pytest
from faults import Proxy
from hypothesis import given
from hypothesis import strategies as st
from support import a_call, child_environment, eventually, python, run, value, with_role

from tracker import Tracker
from tracker.cli import main
from tracker.errors import DatabaseError, OutboxError, TransientError
from tracker.recording.circuit_breaker import CircuitBreaker
from tracker.recording.number_ranges import NumberRanges
from tracker.recording.outbox.drain import BATCH_ROWS
from tracker.recording.outbox.sqlite_file import _SCHEMA
from tracker.recording.outbox.store import Outbox


def depth(error: BaseException | None) -> int:
    return 0 if error is None else len(list(traceback.walk_tb(error.__traceback__)))


@pytest.mark.parametrize(
    "error",
    [TransientError("refused", "Nothing answers.", "Try again.", "08001"), OutboxError("busy", "It is locked.")],
)
def test_a_copy_of_an_error_has_the_same_message_without_a_traceback(error):
    try:
        raise error
    except type(error) as raised:
        made = raised.copy()
    assert (type(made), str(made), vars(made), depth(made)) == (type(error), str(error), vars(error), 0)
    assert depth(error) == 1


@pytest.mark.parametrize("url", ["", "postgresql//nonsense"])
def test_no_stored_error_grows_with_each_record(tmp_path: Path, url: str):
    with Tracker(mode="direct", database_url=url, outbox=tmp_path / "outbox.db", log_records=False) as recorder:
        for _ in range(5):
            assert recorder.record(a_call()).status == "queued"
        assert depth(recorder._direct._setup_error) == 0


def test_the_circuit_breaker_keeps_no_frame_of_a_failed_call(new_tracker, proxy):
    proxy.swallow = True
    recorder: Tracker = new_tracker(database_url=proxy.url, max_retries=0, platform="vercel", log_records=False)
    for _ in range(3):
        assert recorder.record(a_call(), 0.3).status == "queued"
    error = recorder._breaker.error
    assert isinstance(error, DatabaseError)
    assert (depth(error), error.__context__, error.__cause__) == (0, None, None)
    assert isinstance(recorder._breaker, CircuitBreaker)
    proxy.swallow = False


# --- many records in one state ------------------------------------------------------------------------------------

RECORDS = """
import gc, json, logging, os, statistics, sys, threading, time
sys.path.insert(0, "tests")
from support import a_call
from tracker import Tracker

logging.getLogger("tracker").addHandler(logging.NullHandler())
logging.getLogger("tracker").propagate = False
mode, first, more, path = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
recorder = Tracker(mode=mode, outbox=path, log_records=False, max_retries=0, deadline_s=1)

def facts():
    gc.collect()
    samples = []
    for _ in range(10):
        samples.append((len(os.listdir("/proc/self/fd")), threading.active_count()))
        time.sleep(0.04)
    rss = int(open("/proc/self/statm").read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    wal = os.path.getsize(path + "-wal") if os.path.exists(path + "-wal") else 0
    fds, threads = (statistics.mode(values) for values in zip(*samples))  # a delivery opens more
    return {"rss": rss, "fds": fds, "threads": threads, "wal": wal}

def record(count):
    statuses = set()
    for _ in range(count):
        statuses.add(recorder.record(a_call()).status)
    return statuses

record(first)
if "flapping" in sys.argv:  # a first complete batch, whose memory Python keeps for the next one
    recorder.flush(5)
before = facts()
statuses = record(more)
print(json.dumps({"before": before, "after": facts(), "statuses": sorted(statuses)}), flush=True)
os._exit(0)
"""
UNREACHABLE = {
    "down": "postgresql://u@127.0.0.1:1/db",
    "no url": "",
    "malformed url": "postgresql//nonsense",
}
STATES = [
    "up",
    "down",
    "flapping",
    "wrong password",
    "table missing",
    "no url",
    "malformed url",
    "outbox full",
    "outbox locked",
    "read-only disk",
    "black hole",
    "hanging alert url",
]


class State:
    """What surrounds the recording process in one state."""

    def __init__(  # noqa: C901  one branch a state
        self, name: str, request: pytest.FixtureRequest, stack: ExitStack, path: Path
    ) -> None:
        self.path = path
        self.env: dict[str, str] = {}
        url = request.getfixturevalue("database_url")
        if name in UNREACHABLE:
            url = UNREACHABLE[name]
        elif name == "wrong password":
            clerk = request.getfixturevalue("clerk")
            url = with_role(url, clerk.name, "not the password")
        elif name == "table missing":
            run(url, "DROP TABLE token_usage CASCADE")
        elif name in {"flapping", "black hole", "outbox full", "outbox locked", "read-only disk"}:
            proxy = request.getfixturevalue("proxy")
            url, proxy.swallow = proxy.url, name != "flapping"
            if name == "flapping":
                stack.enter_context(flapping(proxy))
        if name == "outbox full":
            self.env["TRACKER_OUTBOX_MAX_MB"] = "1"
        elif name == "outbox locked":
            with closing(Outbox(path)) as outbox:
                assert outbox.empty()
            stack.enter_context(closing(sqlite3.connect(path, isolation_level=None))).execute("BEGIN IMMEDIATE")
        elif name == "read-only disk":
            self.path = request.getfixturevalue("read_only") / "outbox.db"
        elif name == "hanging alert url":
            listener = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
            url = UNREACHABLE["down"]
            self.env["TRACKER_ALERT_URLS"] = f"http://127.0.0.1:{listener.getsockname()[1]}/"
        if url:
            self.env["DATABASE_URL"] = url


@contextmanager
def flapping(proxy: Proxy) -> Iterator[None]:
    """A network that works and fails in turns."""
    ended = threading.Event()

    def work() -> None:
        while not ended.wait(0.3):
            proxy.swallow = not proxy.swallow
            proxy.cut_all()

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
        proxy.swallow = False


MODES = ("direct", "background", "serverless")
# One mode of each state is enough for the short form.
SHORT = {(MODES[number % 3], state) for number, state in enumerate(STATES)}
SHORT |= {("direct", "no url"), ("direct", "black hole")}
COMPLETE = [pytest.mark.long, pytest.mark.timeout(1800)]


@pytest.mark.parametrize(
    ("how", "state", "much"),
    [
        *(pytest.param(how, state, (500, 1000), id=f"short-{state}-{how}") for how, state in sorted(SHORT)),
        *(
            pytest.param(how, state, (5000, 45_000), id=f"long-{state}-{how}", marks=COMPLETE)
            for how in MODES
            for state in STATES
        ),
    ],
)
def test_no_state_needs_more_the_longer_it_lasts(how, state, much, request, tmp_path):
    with ExitStack() as stack:
        around = State(state, request, stack, tmp_path / "outbox.db")
        env = {**around.env, "TRACKER_PLATFORM": "vercel" if how == "serverless" else "server"}
        mode = "direct" if how == "serverless" else how
        done = python("-c", RECORDS, mode, str(much[0]), str(much[1]), str(around.path), state, env=env, timeout=1700)
    assert done.returncode == 0, done.stderr[-2000:]
    found = json.loads(done.stdout)
    before, after = found["before"], found["after"]
    assert after["rss"] - before["rss"] <= 2_000_000, found
    assert after["fds"] <= before["fds"], found
    assert after["threads"] <= before["threads"], found
    assert after["wal"] <= 8_000_000, found


# --- Trackers, files and numbers ----------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["direct", "background"])
def test_trackers_made_for_each_request_share_one_file_and_one_thread(mode, database_url, tmp_path):
    def facts() -> tuple[int, int]:
        gc.collect()
        return len(list(Path("/proc/self/fd").iterdir())), sum(
            t.name == "tracker-delivery" for t in threading.enumerate()
        )

    settings = {"mode": mode, "database_url": UNREACHABLE["down"], "outbox": tmp_path / "o.db", "log_records": False}
    for _ in range(3):
        Tracker(**settings, deadline_s=0.2, max_retries=0).record(a_call())
    before = facts()
    for _ in range(60):
        Tracker(**settings, deadline_s=0.2, max_retries=0).record(a_call())
    after = facts()
    assert after[1] <= max(1, before[1])
    assert after[0] - before[0] <= 2, (before, after)
    with Tracker(**{**settings, "database_url": database_url}) as last:
        eventually(lambda: last.flush(10) == 0, 30)
    eventually(lambda: value(database_url, "SELECT count(*)::int FROM token_usage") == 63, 30)


KEPT = """
import gc, sys, time, weakref
from tracker import TokenUsage, Tracker

kept = weakref.ref(made := Tracker(
    mode="background", database_url=sys.argv[1], outbox=sys.argv[2], log_records=False, deadline_s=0.3))
made.record(TokenUsage(model="m", input_tokens=1, output_tokens=1))
del made
gc.collect()
print(kept() is not None, flush=True)
sys.stdin.readline()
end = time.monotonic() + 60
while kept() is not None and time.monotonic() < end:
    time.sleep(0.1)
    gc.collect()
print(kept() is None, flush=True)
"""


def test_a_tracker_whose_records_wait_is_kept_and_one_without_is_not(proxy, tmp_path):
    proxy.swallow = True
    command = [sys.executable, "-c", KEPT, proxy.url, str(tmp_path / "o.db")]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, env=child_environment(), **pipes) as process:
        assert process.stdout.readline() == "True\n"
        proxy.swallow = False
        process.stdin.write("\n")
        process.stdin.flush()
        assert process.stdout.readline() == "True\n"
        process.communicate(timeout=30)
    assert value(proxy.url, "SELECT count(*)::int FROM token_usage") == 1


def test_an_emptied_outbox_gives_its_pages_back_and_one_of_an_earlier_version_is_converted(
    database_url, tmp_path, monkeypatch, capsys
):
    monkeypatch.setenv("DATABASE_URL", database_url)
    for name, earlier in (("new.db", False), ("old.db", True)):
        path = tmp_path / name
        if earlier:
            with closing(sqlite3.connect(path, isolation_level=None)) as database:
                database.execute("PRAGMA auto_vacuum = NONE")
                database.executescript(_SCHEMA)
                database.executescript("DROP TABLE drain")
        monkeypatch.setenv("TRACKER_OUTBOX", str(path))
        with Tracker(mode="background", database_url="", outbox=path, log_records=False) as recorder:
            recorder.record_many([a_call(metadata={"text": "x" * 20_000}) for _ in range(400)])
        inode = path.stat().st_ino
        assert main(["outbox", "drain"]) == 0
        capsys.readouterr()
        with closing(sqlite3.connect(path)) as database:
            assert database.execute("PRAGMA auto_vacuum").fetchone()[0] == 2
            database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        assert path.stat().st_size < 2_000_000
        assert path.stat().st_ino == inode


def test_numbers_are_kept_as_ranges():
    numbers = NumberRanges()
    for number in range(1, 100_000):
        if number % 1000:
            numbers.add(number)
    assert len(numbers.ranges) == 100
    for number in range(0, 100_000, 1000):
        numbers.add(number)
    assert numbers.ranges == [(0, 99_999)]


@given(st.lists(st.integers(1, 60), max_size=60), st.sets(st.integers(1, 60)))
def test_ranges_hold_exactly_their_numbers(added, taken):
    numbers = NumberRanges(added)
    held = [number for first, last in numbers.ranges for number in range(first, last + 1)]
    assert held == sorted(set(added))
    left = [number for first, last in numbers.without(taken) for number in range(first, last + 1)]
    assert left == sorted(set(added) - taken)


def test_ids_out_of_order_need_no_scan_of_the_whole_outbox_for_each_batch(database_url, tmp_path):
    path = tmp_path / "outbox.db"

    def plan() -> str:
        query = "EXPLAIN QUERY PLAN SELECT sequence FROM records WHERE instance = '' AND sequence > 1 AND sequence < 9"
        with closing(sqlite3.connect(path)) as database:
            return str(database.execute(query).fetchall())

    with Tracker(mode="background", database_url="", outbox=path, log_records=False) as offline:
        for _ in range(2 * BATCH_ROWS + 1):
            offline.record(a_call(id=uuid.uuid4()))
    assert "records_by_instance" not in plan()  # each append would write to the index
    with Tracker(
        mode="direct", platform="vercel", database_url=database_url, outbox=path, log_records=False
    ) as recorder:
        queue = recorder._get_queue()
        assert queue._run_round(time.monotonic() + 30, batches=1)
        assert "records_by_instance" in plan()
        assert queue.flush(30) == 0
    assert "records_by_instance" not in plan()
    assert value(database_url, "SELECT count(*)::int FROM token_usage") == 2 * BATCH_ROWS + 1
    assert value(database_url, "SELECT count(*)::int FROM token_tracker_ledger WHERE kind = 'waiting'") > 0
