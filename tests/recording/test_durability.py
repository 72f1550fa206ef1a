"""A row that was confirmed survives a crash of the server; a cancelled task and a full table of files lose nothing."""

from __future__ import annotations

import asyncio
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from servers import Server
from support import a_call, python, rows, run, set_default, value

from tracker import Tracker

COUNT = "SELECT count(*)::int FROM token_usage"


@pytest.mark.parametrize("mode", ["direct", "background"])
@pytest.mark.parametrize("setting", ["off", "on", "local"])
def test_only_where_commits_are_not_waited_for_the_insert_asks_for_it(new_tracker, proxy, database_url, mode, setting):
    set_default(database_url, f"synchronous_commit = {setting}")
    recorder = new_tracker(mode=mode, database_url=proxy.url, log_records=False)
    recorder.record(a_call())
    assert recorder.flush(10) == 0
    inserts = [text for text in proxy.statements if "INSERT INTO" in text and '."token_usage"' not in text[:12]]
    inserts = [text for text in inserts if "token_usage (" in text]
    assert inserts
    assert {text.startswith("SET LOCAL synchronous_commit = local;") for text in inserts} == {setting == "off"}
    assert value(database_url, COUNT) == 1


def test_confirmed_rows_survive_a_crash_of_a_server_that_confirms_early():
    with Server() as server:
        run(
            server.admin_url,
            "ALTER ROLE app SET synchronous_commit = off",
            "ALTER SYSTEM SET wal_writer_delay = '10s'",
            "ALTER SYSTEM SET fsync = on",
            "SELECT pg_reload_conf()",
        )
        with Tracker(mode="direct", database_url=server.url, log_records=False) as recorder:
            recorder.record(a_call())
            confirmed = [str(outcome.id) for outcome in recorder.record_many([a_call() for _ in range(30)])]
            server.stop()
        server.start()
        found = {str(id_) for (id_,) in rows(server.admin_url, "SELECT id FROM token_usage")}
    assert set(confirmed) <= found


@pytest.mark.parametrize("mode", ["direct", "background"])
def test_a_task_that_is_cancelled_before_its_thread_starts_loses_no_record(new_tracker, database_url, mode):
    recorder = new_tracker(mode=mode, log_records=False)
    usages = [a_call() for _ in range(60)]

    async def main() -> list[object]:
        asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(2))
        blocked = [asyncio.ensure_future(asyncio.to_thread(time.sleep, 1)) for _ in range(2)]
        tasks = [asyncio.ensure_future(recorder.arecord(usage)) for usage in usages]
        for task in tasks[:20]:
            task.cancel()  # before their first step
        await asyncio.sleep(0.05)
        for task in tasks[20:40]:
            task.cancel()  # while their record waits for a thread
        return await asyncio.gather(*tasks, *blocked, return_exceptions=True)

    results = asyncio.run(main())
    assert sum(isinstance(result, asyncio.CancelledError) for result in results) >= 20
    assert recorder.flush(20) == 0
    assert value(database_url, COUNT) == 60
    assert rows(database_url, "SELECT max(sequence)::int FROM token_usage") == [(60,)]


def test_arecord_can_be_made_before_the_loop_runs(new_tracker):
    assert asyncio.run(new_tracker().arecord(a_call())).status == "recorded"


NO_DESCRIPTOR = """
import os, resource, sys, time
sys.path.insert(0, "tests")
from support import a_call
from tracker import Tracker
from faults import Proxy
with Proxy(os.environ["DATABASE_URL"]) as proxy:
    recorder = Tracker(mode="direct", database_url=proxy.url, log_records=False, max_retries=0)
    assert recorder.record(a_call()).status == "recorded"
    if sys.argv[1] == "queued before":
        proxy.swallow = True
        recorder.record(a_call(), 0.3)
        recorder._breaker.reset()
        proxy.swallow = False
        recorder.record(a_call())
    proxy.swallow = True
    resource.setrlimit(resource.RLIMIT_NOFILE, (256, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
    taken = []
    try:
        while True:
            taken.append(os.open("/dev/null", os.O_RDONLY))
    except OSError:
        pass
    started = time.monotonic()
    status = recorder.record(a_call(), 2).status
    took = time.monotonic() - started
    started = time.monotonic()
    recorder.flush(2)
    flushed = time.monotonic() - started
    for descriptor in taken:
        os.close(descriptor)
    print(status, took <= 2.4, flushed <= 2.4)
    proxy.swallow = False
"""


@pytest.mark.parametrize("when", ["nothing queued", "queued before"])
def test_a_silent_server_is_cut_off_without_a_free_descriptor(database_url, tmp_path, when):
    env = {"DATABASE_URL": database_url, "TRACKER_OUTBOX": str(tmp_path / "outbox.db")}
    done = python("-c", NO_DESCRIPTOR, when, env=env, timeout=60)
    assert done.returncode == 0, done.stderr
    status, record_in_time, flush_in_time = done.stdout.split()
    assert status in {"queued", "failed"}, done.stderr
    assert (record_in_time, flush_in_time) == ("True", "True"), done.stdout
    if status == "failed":
        assert '"token_usage.failed"' in done.stderr


@pytest.mark.parametrize("platform", ["server", "vercel"])
def test_a_deadline_holds_while_records_wait_and_the_outbox_is_busy(new_tracker, proxy, tmp_path, platform):
    """What follows a record in its caller's time shares its deadline."""
    path = tmp_path / "outbox.db"
    recorder = new_tracker(database_url=proxy.url, outbox=path, platform=platform, log_records=False, max_retries=0)
    proxy.swallow = True
    for _ in range(3):
        recorder.record(a_call(), 0.3)
    proxy.swallow = False
    recorder._breaker.reset()
    other = Tracker(mode="background", database_url="", outbox=path, log_records=False)
    stop = threading.Event()

    def keep_busy() -> None:
        while not stop.is_set():
            other._get_queue().outbox.do(lambda database: time.sleep(0.7))

    with ThreadPoolExecutor(3) as pool:
        for _ in range(3):
            pool.submit(keep_busy)
        try:
            proxy.delay_to_client_ms = 20
            for _ in range(3):
                started = time.monotonic()
                assert recorder.record(a_call(), 1.5).status in {"recorded", "queued"}
                assert time.monotonic() - started <= 1.5 * 1.2
        finally:
            stop.set()
    proxy.delay_to_client_ms = 0
