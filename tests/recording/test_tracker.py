"""A Tracker raises nothing into its host, and works in threads, coroutines, forks and several processes."""

from __future__ import annotations

import asyncio
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import pytest
from support import a_call, count, eventually, locked, python, rows, run

import tracker
from tracker import SettingError, Tracker, UsageTypeError

# --- nothing of ours reaches the host -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "says"),
    [
        (None, "DATABASE_URL is not set"),
        ("", "DATABASE_URL is not set"),
        ("nonsense", "DATABASE_URL"),
        ("mysql://u:hunter2@h/db", "DATABASE_URL"),
        ("postgresql://u:hunter2%@h/db", "%25"),
        ("postgresql://u:hunter2@127.0.0.1:1/db", "Nothing answers"),
        ("postgresql://u:hunter2@127.0.0.1:1/db?application_name=%00", "Nothing answers"),
    ],
)
def test_no_address_makes_a_tracker_raise(monkeypatch, caplog, url, says):
    if url is not None:
        monkeypatch.setenv("DATABASE_URL", url)
    recorder = Tracker(mode="direct", max_retries=0)
    outcome = recorder.record(a_call())
    assert outcome.status == "queued"
    assert says in outcome.error
    assert "hunter2" not in outcome.error + caplog.text + repr(recorder) + repr(recorder.settings)
    recorder.close()


def test_a_missing_url_is_warned_of_once_a_process(caplog):
    for _ in range(3):
        Tracker()
    assert len([line for line in caplog.messages if "DATABASE_URL is not set" in line]) == 1


def test_a_tracker_without_an_address_has_no_pool():
    assert Tracker().pool_stats() is None


@pytest.mark.parametrize("thing", [{"model": "m"}, None, "gemini", [a_call()], object])
def test_anything_but_a_token_usage_is_the_callers_mistake(recorder, thing):
    with pytest.raises(UsageTypeError, match="record takes a TokenUsage"):
        recorder.record(thing)


def test_an_argument_that_cannot_be_right_is_the_callers_mistake():
    with pytest.raises(SettingError):
        Tracker(pool_size=-1)


def test_bytes_that_are_no_utf_8_in_the_environment_lose_no_record(new_tracker, monkeypatch):
    monkeypatch.setenv("NODE_ENV", "caf\udce9")
    outcome = new_tracker().record(a_call())
    assert outcome.error is None


# --- instances, threads, processes --------------------------------------------------------------------------------


def test_threads_share_a_tracker_and_their_numbers_have_no_gap(new_tracker, database_url):
    recorder = new_tracker(pool_size=5, log_records=False)

    def work(_):
        return [recorder.record(a_call(), 30).status for _ in range(50)]

    with ThreadPoolExecutor(8) as pool:
        statuses = [status for part in pool.map(work, range(8)) for status in part]
    assert statuses == ["recorded"] * 400
    assert rows(
        database_url, "SELECT count(*), count(DISTINCT sequence), min(sequence), max(sequence) FROM token_usage"
    ) == [(400, 400, 1, 400)]
    assert recorder.pool_stats().created <= 5


def test_each_tracker_is_an_instance_of_its_own(new_tracker):
    assert new_tracker().instance_id != new_tracker().instance_id


def test_a_failed_record_leaves_a_gap_that_can_be_counted(recorder, database_url):
    run(database_url, "ALTER TABLE token_usage ADD CONSTRAINT known CHECK (model LIKE 'gemini%')")
    for model in ("gemini", "gpt", "gemini"):
        recorder.record(a_call(model=model))
    assert rows(database_url, "SELECT sequence FROM token_usage ORDER BY 1") == [(1,), (3,)]


FORK = """
import os, sys
sys.path.insert(0, "tests")
from support import a_call
from tracker import Tracker
recorder = Tracker(mode="direct", log_records=False)
recorder.record(a_call())
child = os.fork()
recorder.record(a_call())
if child == 0:
    os._exit(0)
os.waitpid(child, 0)
"""


def test_a_fork_is_an_instance_of_its_own_that_counts_from_one(database_url):
    done = python("-c", FORK, env={"DATABASE_URL": database_url})
    assert done.returncode == 0, done.stderr
    question = "SELECT array_agg(sequence ORDER BY sequence) FROM token_usage GROUP BY instance_id ORDER BY 1"
    assert rows(database_url, question) == [([1],), ([1, 2],)]


def test_shared_is_one_tracker_and_the_first_calls_settings_win(database_url):
    with ThreadPoolExecutor(8) as pool:
        found = list(
            pool.map(
                lambda size: tracker.shared(mode="direct", database_url=database_url, pool_size=size), range(2, 10)
            )
        )
    assert len(set(map(id, found))) == 1
    assert tracker.shared(pool_size=99) is found[0]
    assert found[0].settings.pool_size != 99


def test_a_tracker_closed_by_its_block_can_be_used_again(database_url):
    with Tracker(mode="direct", database_url=database_url) as recorder:
        recorder.record(a_call())
    assert recorder.pool_stats().idle == 0
    assert recorder.record(a_call()).stored
    recorder.close()


def test_recording_from_a_coroutine_does_not_block_the_loop(recorder, database_url):
    recorder.record(a_call())

    async def main() -> tuple:
        with locked(database_url) as unlock:
            recording = asyncio.create_task(recorder.arecord(a_call(), 20))
            ticks = 0
            while recorder.pool_stats().used == 0 or ticks < 20:
                await asyncio.sleep(0.005)
                ticks += 1
            assert not recording.done()
            unlock()
        return await recording, ticks

    outcome, ticks = asyncio.run(main())
    assert outcome.status == "recorded"
    assert ticks >= 20


def test_many_coroutines_record_at_once(new_tracker, database_url):
    recorder = new_tracker(log_records=False)

    async def main() -> list:
        return await asyncio.gather(*(recorder.arecord(a_call(), 30) for _ in range(40)))

    assert {outcome.status for outcome in asyncio.run(main())} == {"recorded"}
    assert count(database_url) == 40


@pytest.mark.parametrize(
    ("env", "name"),
    [
        ({}, "token-tracker/local/development"),
        (
            {"VERCEL": "1", "VERCEL_ENV": "preview", "VERCEL_REGION": "icn1", "VERCEL_GIT_COMMIT_SHA": "b" * 40},
            "token-tracker/vercel/preview/bbbbbbb",
        ),
        ({"NODE_ENV": "umgebung-ü-" + "x" * 80}, "token-tracker/local/umgebung-?-" + "x" * 34),
    ],
)
def test_its_connections_say_in_pg_stat_activity_whose_they_are(new_tracker, database_url, monkeypatch, env, name):
    for variable, text in env.items():
        monkeypatch.setenv(variable, text)
    new_tracker().record(a_call())
    assert rows(
        database_url,
        "SELECT application_name FROM pg_stat_activity WHERE application_name LIKE 'token-tracker/%%'"
        " AND datname = current_database()",
    ) == [(name[:63],)]


@pytest.mark.direct
def test_an_idle_background_session_has_no_open_transaction(recorder, database_url):
    recorder.record(a_call())
    question = (
        "SELECT state FROM pg_stat_activity WHERE application_name LIKE 'token-tracker/%%'"
        " AND datname = current_database()"
    )
    assert rows(database_url, question) == [("idle",)]


def test_an_idle_tracker_lets_its_process_end():
    done = python("-c", "import tracker; tracker.Tracker(database_url='postgresql://u@127.0.0.1:1/d')", timeout=20)
    assert done.returncode == 0


def test_recording_continues_while_another_threads_connection_is_closed(recorder):
    recorder.record(a_call())
    lease = recorder._pool.acquire(time.monotonic() + 5)
    threading.Thread(target=lease.connection.close).start()
    eventually(lambda: lease.connection.closed)
    recorder._pool.release(lease)
    with closing(recorder):
        assert recorder.record(a_call()).retry_count == 0


def test_records_wait_while_a_setting_of_tls_cannot_be_read(proxy):
    with Tracker(database_url=f"{proxy.url}?sslmode=REQUIRE", mode="direct", deadline_s=1) as recorder:
        outcome = recorder.record(a_call())
        assert outcome.status == "queued"
        assert "sslmode='REQUIRE'" in outcome.error
    assert proxy.connections == 0
