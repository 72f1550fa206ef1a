"""Streams that nobody reads to the end: recorded once, and never inside the garbage collector's finalizers."""

from __future__ import annotations

import asyncio
import gc
import os
import subprocess
import sys
import textwrap
import threading
import time
import weakref
from pathlib import Path

import pytest
from support import eventually, rows

from tracker import TokenUsage
from tracker.recording.capture import deferred_finish

PIECES = [
    {"modelVersion": "gemini-2.5-flash", "usageMetadata": {"promptTokenCount": 7, "totalTokenCount": 7}},
    {"modelVersion": "gemini-2.5-flash", "usageMetadata": {"promptTokenCount": 7, "candidatesTokenCount": 4}},
]
# Each round leaves streams in reference cycles of the host's own, so that only the collector finishes them: at any
# allocation, also inside SQLite's and psycopg2's calls of the other threads.
STRESS = """
    import gc, sys, threading
    from tracker import TokenUsage, Tracker

    THREADS, ROUNDS = int(sys.argv[1]), int(sys.argv[2])
    PIECES = [{"model": "m", "usage": {"prompt_tokens": 7, "completion_tokens": 0}}, {"model": "m"}]

    class Holder:
        pass

    def work(recorder):
        for number in range(ROUNDS):
            with recorder.track(operation="abandoned") as call:
                call.response = (piece for piece in PIECES)
            holder = Holder()
            holder.me, holder.stream, holder.call = holder, call.response, call
            if number % 2:
                next(holder.stream)
            del holder, call
            recorder.record(TokenUsage(model="m", input_tokens=1, operation="plain"))

    gc.set_threshold(7, 2, 2)
    with Tracker(mode=sys.argv[3], pool_size=2) as recorder:
        threads = [threading.Thread(target=work, args=(recorder,)) for _ in range(THREADS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        gc.collect()
        left = recorder.flush(60)
    print("left", left)
"""


def run(script: str, *arguments: str, database_url: str, outbox: Path) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "DATABASE_URL": database_url, "TRACKER_OUTBOX": str(outbox), "PYTHONFAULTHANDLER": "1"}
    environment["TRACKER_LOG_RECORDS"] = "0"
    return subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script), *arguments],
        env=environment,
        capture_output=True,
        text=True,
        timeout=150,
        check=False,
    )


def threads_of_record(recorder, monkeypatch):
    """A list to which each call of `record` adds its thread."""
    threads = []
    original = recorder.record

    def record(*given):
        threads.append(threading.current_thread())
        return original(*given)

    monkeypatch.setattr(recorder, "record", record)
    return threads


@pytest.mark.parametrize("mode", ["background", "direct"])
def test_streams_collected_beside_other_records_crash_and_lose_nothing(database_url, tmp_path, mode):
    threads, rounds = (8, 60) if mode == "background" else (4, 25)
    done = run(STRESS, str(threads), str(rounds), mode, database_url=database_url, outbox=tmp_path / "o.db")
    assert done.returncode == 0, done.stderr[-2000:]
    assert "left 0" in done.stdout
    counted = rows(
        database_url, "SELECT operation, count(*), count(DISTINCT id) FROM token_usage GROUP BY 1 ORDER BY 1"
    )
    assert counted == [("abandoned", threads * rounds, threads * rounds), ("plain", threads * rounds, threads * rounds)]


def test_a_finalizer_only_appends_to_the_queue(new_tracker, database_url, monkeypatch):
    recorder = new_tracker(mode="direct")
    recorded_in = []
    original = recorder.record
    monkeypatch.setattr(
        recorder, "record", lambda *a: (recorded_in.append(threading.current_thread()), original(*a))[1]
    )
    with recorder.track() as call:
        call.response = iter(PIECES)
    stream = call.response
    next(stream)
    del call, stream  # the last reference: finalized at once, in this thread
    assert threading.current_thread() not in recorded_in
    (row,) = eventually(
        lambda: rows(database_url, "SELECT input_tokens, success, metadata->>'stream' FROM token_usage")
    )
    assert row == (7, False, "broken_off")
    assert threading.current_thread() not in recorded_in


@pytest.mark.parametrize("how", ["yield from", "for"])
def test_a_generator_of_the_host_that_the_collector_closes_writes_nothing_there(
    new_tracker, database_url, monkeypatch, how
):
    recorder = new_tracker(mode="direct")
    recorded_in = []
    original = recorder.record
    monkeypatch.setattr(
        recorder, "record", lambda *a: (recorded_in.append(threading.current_thread()), original(*a))[1]
    )

    def answers(itself):
        with recorder.track(operation="generator") as call:
            call.response = iter(PIECES)
            if how == "yield from":
                yield from call.response
            for piece in call.response:
                yield dict(piece)

    itself = []
    generator = answers(itself)
    itself.append(generator)
    next(generator)
    del itself, generator
    gc.collect()
    found = eventually(lambda: rows(database_url, "SELECT operation, input_tokens, success FROM token_usage"))
    assert found == [("generator", 7, False)]
    assert threading.current_thread() not in recorded_in


def test_stream_and_call_form_no_cycle(new_tracker, database_url):
    recorder = new_tracker(mode="direct")
    gc.collect()
    gc.disable()
    try:
        with recorder.track() as call:
            call.response = iter(PIECES)
        stream = weakref.ref(call.response)
        held = weakref.ref(call)
        del call
        assert (stream(), held()) == (None, None)
    finally:
        gc.enable()
    eventually(lambda: rows(database_url, "SELECT 1 FROM token_usage"))


def test_close_records_what_was_abandoned(new_tracker, database_url):
    recorder = new_tracker(mode="direct")
    with recorder.track() as call:
        call.response = iter(PIECES)
    del call
    recorder.close()
    assert rows(database_url, "SELECT count(*) FROM token_usage") == [(1,)]


def test_a_process_that_ends_records_its_open_streams(database_url, tmp_path):
    script = """
        from tracker import Tracker
        recorder = Tracker(mode="direct")
        with recorder.track(operation="open at exit") as call:
            call.response = iter([{"model": "m", "usage": {"prompt_tokens": 7, "completion_tokens": 0}}, {}])
        next(call.response)
    """
    done = run(script, database_url=database_url, outbox=tmp_path / "o.db")
    assert done.returncode == 0, done.stderr
    assert rows(database_url, "SELECT operation, input_tokens, success FROM token_usage") == [
        ("open at exit", 7, False)
    ]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_child_leaves_its_parents_streams_alone(database_url, tmp_path):
    script = """
        import os, sys
        from tracker import Tracker
        recorder = Tracker(mode="direct")
        with recorder.track(operation="parent") as call:
            call.response = iter([{"model": "m", "usage": {"prompt_tokens": 7, "completion_tokens": 0}}])
        if (child := os.fork()) == 0:
            recorder.close()
            sys.exit(0)
        assert os.waitpid(child, 0)[1] == 0
        list(call.response)
        recorder.close()
    """
    done = run(script, database_url=database_url, outbox=tmp_path / "o.db")
    assert done.returncode == 0, done.stderr
    assert rows(database_url, "SELECT count(*) FROM token_usage WHERE success") == [(1,)]


def test_an_asynchronous_stream_is_recorded_after_its_loop(new_tracker, database_url):
    recorder = new_tracker(mode="direct")

    async def pieces():
        for piece in PIECES:
            yield piece

    async def main():
        async with recorder.track() as call:
            call.response = pieces()
        async for _ in call.response:
            break

    asyncio.run(main())
    recorder.flush(5)
    assert eventually(lambda: rows(database_url, "SELECT input_tokens, success FROM token_usage")) == [(7, False)]


def test_open_calls_and_the_worker_end(new_tracker, database_url):
    recorder = new_tracker(mode="direct")
    for _ in range(50):
        with recorder.track() as call:
            call.response = iter(PIECES)
        list(call.response)
    recorder.record(TokenUsage(model="m"))
    assert len(deferred_finish._open) == 0
    started = time.monotonic()
    eventually(lambda: deferred_finish._worker is None, 15)
    assert time.monotonic() - started < 15
