"""Every fault that recording must survive, by real means: nothing lost, nothing doubled, every caller answered in time.

Each has a short form, which belongs to the suite, and a long one with the numbers that are promised:
`pytest -m long -s` runs those and prints their table.
"""

from __future__ import annotations

import itertools
import json
import os
import random
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psycopg2
import pytest
from bursts import RESULTS, Burst, Recording, Result, count_doubled, held
from faults import Proxy
from servers import Server
from support import a_call, end_sessions, eventually, locked, python, rows, run, small_disk, value, with_database

from tracker import Tracker, settings
from tracker.database.locate import Database
from tracker.database.url import clean
from tracker.recording.outbox.store import Outbox

BOTH = pytest.mark.parametrize("mode", ["direct", "background"])


def scale(short: object, long: object) -> pytest.MarkDecorator:
    """How much of a fault: little in the suite, all that is promised with `-m long`."""
    marks = [pytest.mark.long, pytest.mark.timeout(900)]
    return pytest.mark.parametrize(
        "much", [pytest.param(short, id="short"), pytest.param(long, id="long", marks=marks)]
    )


@pytest.fixture(scope="module")
def own_server() -> Iterator[Server]:
    """A server that may be stopped and filled up."""
    with Server() as server:
        yield server


@pytest.fixture
def server(own_server: Server) -> Server:
    own_server.clear()
    return own_server


@pytest.fixture
def new_recorder(tmp_path: Path) -> Iterator[Callable[..., Tracker]]:
    """Makes Trackers with one outbox; they are closed after the test."""
    with ExitStack() as stack:

        def make(mode: str, url: str, **given: object) -> Tracker:
            usual = {"outbox": tmp_path / "outbox.db", "log_records": False, "alert_urls": ()}
            recorder = Tracker(mode=mode, database_url=url, **{**usual, **given})
            stack.callback(recorder.close)
            return recorder

        yield make


def missing_by_the_ledger(url: str) -> int:
    """How many records the ledger report calls lost."""
    from tracker.reports import Filters, Reader
    from tracker.reports.ledger_report import ledger

    reader = Reader(Database(clean(url), embedded=False, settings=settings.load({})))
    now = datetime.now(UTC)
    return ledger(reader, Filters(start=now - timedelta(days=1), end=now + timedelta(minutes=1))).missing


# --- cut connections ----------------------------------------------------------------------------------------------


@BOTH
@scale(60, 1000)
def test_connections_cut_before_or_after_the_commit(mode, much, proxy, database_url, new_recorder):
    recorder = new_recorder(mode, proxy.url)
    burst = Burst(deadline_s=10)
    dice = random.Random(much)
    cuts = 0
    for _ in range(much):
        cut = dice.random()
        if cut < 0.30:
            cuts += 1
            (proxy.cut_before if cut < 0.15 else proxy.cut_after)()
        burst.record(recorder)
        if mode == "background" and dice.random() < 0.5:
            recorder.flush(20)
    proxy.cut_before(0)
    proxy.cut_after(0)
    held(burst.settle(database_url, Result("cut before (15 %) or after (15 %) the commit", mode, note=f"{cuts} cuts")))
    assert burst.statuses["failed"] == 0


@BOTH
@scale(1.2, 20.0)
def test_backends_terminated_again_and_again(mode, much, server, new_recorder):
    recorder = new_recorder(mode, server.url)
    burst = Burst(deadline_s=5)
    terminate = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE usename = 'app'"
    terminated = 0
    with burst.going_on(recorder, threads=8, pause_s=0.005):
        end = time.monotonic() + much
        while time.monotonic() < end:
            terminated += value(server.admin_url, terminate)
            threading.Event().wait(0.4)  # the fault's own rhythm
    note = f"{terminated} sessions terminated"
    held(burst.settle(server.admin_url, Result("backends terminated every 0.4 s", mode, note=note)))
    assert terminated >= much
    assert burst.statuses["failed"] == 0


# --- no server ----------------------------------------------------------------------------------------------------


@BOTH
@scale(1.0, 10.0)
def test_the_server_stopped_under_eight_threads(mode, much, server, new_recorder):
    recorder = new_recorder(mode, server.url)
    burst = Burst(deadline_s=2)
    with burst.going_on(recorder, threads=8, pause_s=0.005):
        eventually(lambda: len(burst.answered) > 50)
        server.stop()
        stopped = len(burst.answered)
        end = time.monotonic() + much
        # Each thread tries again until its deadline, or until one of them has given up and the others needn't.
        eventually(lambda: time.monotonic() > end and len(burst.answered) - stopped > 50, much + 20)
        meanwhile = len(burst.answered) - stopped
        server.start()
        back = len(burst.answered)
        eventually(lambda: len(burst.answered) > back + 50)
    held(
        burst.settle(
            server.admin_url, Result(f"server stopped for {much:g} s", mode, note=f"{meanwhile} records meanwhile")
        )
    )
    assert burst.statuses["failed"] == 0
    recorder.close()
    assert missing_by_the_ledger(server.admin_url) == 0


@BOTH
@scale(1.0, 10.0)
def test_no_connection_left_and_no_retry_storm(mode, much, server, new_recorder):
    with Proxy(server.url) as proxy, ExitStack() as others:
        recorder = new_recorder(mode, proxy.url, max_retries=5)
        burst = Burst(deadline_s=1)
        with suppress(psycopg2.OperationalError):
            while True:
                others.enter_context(closing(psycopg2.connect(server.url)))
        with burst.going_on(recorder, threads=8, pause_s=0.005):
            end = time.monotonic() + much
            eventually(lambda: time.monotonic() > end, much + 5)
            meanwhile, attempts = len(burst.answered), proxy.connections
            others.close()
            eventually(lambda: len(burst.answered) > meanwhile + 50)
        note = f"{attempts} attempts for {meanwhile} records"
        held(burst.settle(server.admin_url, Result(f"no connection left for {much:g} s", mode, note=note)))
        assert burst.statuses["failed"] == 0
        # Each thread's first record with its retries, then probes.
        assert attempts <= 8 * 6 + 5 * much, note
        assert meanwhile > 2 * attempts


# --- no answer ----------------------------------------------------------------------------------------------------


@BOTH
@pytest.mark.parametrize("when", ["before it is sent", "while it waits", "at the login"])
def test_a_network_that_drops_everything(mode, when, proxy, database_url, new_recorder):
    recorder = new_recorder(mode, proxy.url, deadline_s=1)
    burst = Burst(deadline_s=1.5)  # of which 20 % are more than a busy machine's hesitation
    if when != "at the login":
        burst.record(recorder)
        assert recorder.flush(10) == 0
    with ExitStack() as stack:
        if when == "while it waits":
            unlock = stack.enter_context(locked(database_url))
            waiting = stack.enter_context(ThreadPoolExecutor(1)).submit(burst.record, recorder)
            eventually(lambda: recorder.pool_stats().used)
            proxy.swallow = True
            unlock()
            assert waiting.result(timeout=10) == "queued"
        proxy.swallow = True
        for _ in range(5):
            assert burst.record(recorder) == "queued"
    proxy.swallow = False
    held(burst.settle(database_url, Result(f"network drops everything {when}", mode)))


@BOTH
def test_a_host_that_answers_no_knock(mode, new_recorder):
    with ExitStack() as stack:
        # A full queue of a listener that accepts nobody: further knocks are dropped.
        listener = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
        for _ in range(3):
            knocking = stack.enter_context(socket.socket())
            knocking.setblocking(False)
            knocking.connect_ex(listener.getsockname())
        url = f"postgresql://u@127.0.0.1:{listener.getsockname()[1]}/db"
        recorder = new_recorder(mode, url, deadline_s=1)
        burst = Burst(deadline_s=1.5)
        assert {burst.record(recorder) for _ in range(5)} == {"queued"}
        assert burst.worst_s <= 1.5 * 1.2
        assert recorder.outbox_depth().waiting == 5


# --- processes that end, fork and freeze --------------------------------------------------------------------------


@BOTH
@scale(3, 20)
def test_kill_9_at_a_random_time(mode, much, proxy, database_url, new_recorder, tmp_path):
    env = {"DATABASE_URL": proxy.url, "TRACKER_OUTBOX": str(tmp_path / "outbox.db"), "TRACKER_DEADLINE_S": "5"}
    said: list[int] = []
    for kill in range(much):
        proxy.swallow = mode == "background" and kill % 3 == 0  # then nothing is delivered before the next process
        said += Recording(mode, kill * 1_000_000, env).killed_after(random.randint(1, 300))
    proxy.swallow = False
    recorder = new_recorder(mode, proxy.url)
    assert recorder.flush(30) == 0
    found = {int(session) for (session,) in rows(database_url, "SELECT session_id FROM token_usage")}
    result = Result("kill -9 of the recording process", mode, records=len(said), note=f"{much} kills")
    result.lost, result.doubled = len(set(said) - found), count_doubled(database_url)
    RESULTS.append(result)
    assert (result.lost, result.doubled) == (0, 0), result
    run(database_url, "UPDATE token_usage SET recorded_at = recorded_at - interval '16 minutes'")
    assert missing_by_the_ledger(database_url) == 0


@BOTH
def test_a_process_that_is_frozen_while_its_connections_die(mode, database_url, new_recorder, tmp_path):
    env = {"DATABASE_URL": database_url, "TRACKER_OUTBOX": str(tmp_path / "outbox.db")}
    child = Recording(mode, 1, env)
    said = child.said(20)
    for _ in range(3):
        os.kill(child.pid, signal.SIGSTOP)
        # From another database: a pooler's connection to this one would be ended, too.
        end_sessions(
            with_database(database_url, "postgres"),
            f"application_name LIKE 'token-tracker/%' AND datname = '{clean(database_url).dbname}'",
        )
        os.kill(child.pid, signal.SIGCONT)
        said += child.said(20)
    said += child.killed_after(1)
    assert new_recorder(mode, database_url).flush(30) == 0
    found = {int(session) for (session,) in rows(database_url, "SELECT session_id FROM token_usage")}
    assert set(said) <= found
    assert count_doubled(database_url) == 0


WORKERS = """
import os, sys, threading
from tracker import Tracker, TokenUsage

def usage(number):
    return TokenUsage(model="m", session_id=str(number))

def work(worker):
    def part(thread):
        for number in range(25):
            outcome = recorder.record(usage(worker * 1000 + thread * 100 + number))
            assert outcome.status != "failed", outcome
    threads = [threading.Thread(target=part, args=(thread,)) for thread in range(4)]
    for thread in threads: thread.start()
    for thread in threads: thread.join()

mode, how = sys.argv[1:]
recorder = Tracker(mode=mode, log_records=False)
for number in range(10):
    recorder.record(usage(number))
if how == "pre-fork":
    workers = []
    for worker in range(1, 5):
        pid = os.fork()
        if pid == 0:
            work(worker)
            sys.exit(0)
        workers.append(pid)
    assert {os.waitpid(pid, 0)[1] for pid in workers} == {0}
else:
    import multiprocessing
    context = multiprocessing.get_context("fork")
    if how == "processes":
        workers = [context.Process(target=work, args=(worker,)) for worker in range(1, 5)]
        for worker in workers: worker.start()
        for worker in workers: worker.join()
        assert {worker.exitcode for worker in workers} == {0}
    else:
        with context.Pool(2) as pool:
            pool.map(work, range(1, 5), chunksize=1)
for number in range(10, 20):
    recorder.record(usage(number))
"""


@BOTH
@pytest.mark.parametrize("how", ["pre-fork", "processes", "pool"])
def test_forks_of_a_warm_tracker(mode, how, database_url, tmp_path, new_recorder):
    env = {"DATABASE_URL": database_url, "TRACKER_OUTBOX": str(tmp_path / "outbox.db")}
    done = python("-c", WORKERS, mode, how, env=env, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
    assert new_recorder(mode, database_url).flush(10) == 0
    found = sorted(int(session) for (session,) in rows(database_url, "SELECT session_id FROM token_usage"))
    expected = [w * 1000 + t * 100 + n for w, t, n in itertools.product(range(1, 5), range(4), range(25))]
    assert found == [*range(20), *expected]
    RESULTS.append(Result(f"fork of a warm Tracker ({how})", mode, records=len(found)))
    assert rows(database_url, "SELECT 1 FROM token_usage GROUP BY instance_id HAVING max(sequence) <> count(*)") == []


# --- no disk ------------------------------------------------------------------------------------------------------


def fill(disk: Path) -> None:
    with suppress(OSError), (disk / "ballast").open("wb", buffering=0) as file:
        while True:
            file.write(bytes(4096))


@BOTH
@pytest.mark.parametrize("fault", ["full disk", "size limit", "read-only", "damaged"])
def test_an_outbox_that_fails_while_the_database_does(mode, fault, proxy, tmp_path, new_recorder, caplog, read_only):
    proxy.swallow = True
    with ExitStack() as stack:
        path = tmp_path / "outbox.db"
        if fault == "full disk":
            disk = stack.enter_context(small_disk(tmp_path / "full", megabytes=1))
            path = disk / "outbox.db"
            fill(disk)
        elif fault == "read-only":
            path = read_only / "outbox.db"
        elif fault == "damaged":
            with closing(Outbox(path)) as outbox:
                assert outbox.empty()
            path.write_bytes(random.randbytes(20_000))
        recorder = new_recorder(mode, proxy.url, outbox=path, outbox_max_mb=1, deadline_s=1)
        burst = Burst(deadline_s=1)
        text = "x" * 200_000 if fault == "size limit" else "x"
        statuses = [burst.record(recorder, metadata={"text": text}) for _ in range(10)]
        if fault == "damaged":  # is moved aside, and nothing of these records is lost
            assert statuses == ["queued"] * 10
            assert list(tmp_path.glob("outbox.db.damaged-*"))
        else:
            assert statuses[-1] == "failed"
            lines = [json.loads(line) for line in caplog.messages if '"token_usage.failed"' in line]
            lost = statuses.count("failed")
            assert len({line["record"]["id"] for line in lines}) == lost
            assert all(line["record"]["metadata"] == {"text": text} for line in lines)
        alerts = [json.loads(line) for line in caplog.messages if "token_tracking_failure" in line]
        assert any(alert["reason"].startswith("outbox_") for alert in alerts)
        assert burst.worst_s <= 1 * 1.2
        proxy.swallow = False
        recorder.close()


# --- a pooler -----------------------------------------------------------------------------------------------------

SETTINGS = (
    "SELECT current_setting('statement_timeout'), current_setting('default_transaction_read_only'),"
    " current_setting('lock_timeout'), current_setting('search_path'), current_setting('transaction_read_only')"
)


@pytest.mark.pooler
@BOTH
@scale(4, 40)
def test_fifty_clients_of_a_pool_of_five(mode, much, pooler, database_url, tmp_path, new_recorder):
    through = pooler(database_url)
    before = set(rows(through, SETTINGS))
    run(through, "SET default_transaction_read_only = on")  # as a careless client leaves it
    burst = Burst(deadline_s=20)
    clients = [new_recorder(mode, through, outbox=tmp_path / f"{number}.db") for number in range(50)]
    with ThreadPoolExecutor(50) as pool:
        list(pool.map(lambda client: [burst.record(client) for _ in range(much)], clients))
    for client in clients:
        assert client.flush(30) == 0
    held(burst.settle(database_url, Result("50 clients of PgBouncer, transaction mode, pool of 5", mode)))
    assert burst.statuses["failed"] == 0
    with ThreadPoolExecutor(10) as pool:
        after = {row for part in pool.map(lambda _: rows(through, SETTINGS), range(20)) for row in part}
    allowed = {(*row[:1], "on", *row[2:4], "on") for row in before}
    assert after <= before | allowed


def test_a_lost_and_a_duplicate_call_are_detected(recorder, database_url, monkeypatch):
    monkeypatch.setattr("bursts.SETTLE_S", 0.1)
    monkeypatch.setattr("bursts.RESULTS", [])
    burst = Burst(deadline_s=5)
    for _ in range(3):
        burst.record(recorder)
    recorder.record(a_call(session_id="2"))
    burst.answered.append(4)
    result = burst.settle(database_url, Result("none", "direct"))
    assert (result.records, result.lost, result.doubled) == (4, 1, 1)
