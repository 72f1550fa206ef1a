"""The connection pool: few connections, last in first out; none is lost, blocked or too old."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import pytest
from support import a_call, connect, eventually, python, run, value

from tracker.database.connect import execute
from tracker.database.pool import ConnectionPool, PoolPolicy
from tracker.errors import TransientError


@pytest.fixture
def new_pool(database_url):
    """Makes pools that are closed after the test."""
    made = []

    def make(size=3, idle_timeout_s=60.0, max_lifetime_s=None, connect_=lambda: connect(database_url)):
        made.append(ConnectionPool(lambda timeout_s: connect_(), PoolPolicy(size, 5.0, idle_timeout_s, max_lifetime_s)))
        return made[-1]

    yield make
    for pool in made:
        pool.close()


def soon(seconds: float = 5.0) -> float:
    return time.monotonic() + seconds


def pid(lease) -> int:
    return lease.connection.info.backend_pid


def backends(url: str) -> int:
    return value(
        url,
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
        " AND backend_type = 'client backend'",
    )


def test_a_released_connection_is_used_again(new_pool):
    pool = new_pool()
    first = pool.acquire(soon())
    pool.release(first)
    assert pool.acquire(soon()) is first
    assert pool.stats().created == 1
    pool.release(first)


def test_the_last_one_in_is_the_first_one_out_so_that_surplus_ones_age(new_pool):
    pool = new_pool()
    first, second = pool.acquire(soon()), pool.acquire(soon())
    pool.release(first)
    pool.release(second)
    assert pool.acquire(soon()) is second
    pool.release(second)


def test_there_are_never_more_connections_than_the_size(new_pool, database_url):
    pool = new_pool(size=3)

    def work(_):
        lease = pool.acquire(soon(20))
        execute(lease.connection, "SELECT pg_sleep(0.01)")
        pool.release(lease)

    with ThreadPoolExecutor(12) as threads:
        list(threads.map(work, range(60)))
    assert pool.stats().created <= 3
    assert backends(database_url) <= 3


def test_a_busy_pool_is_exhausted_at_the_deadline_and_not_before(new_pool):
    pool = new_pool(size=1)
    lease = pool.acquire(soon())
    started = time.monotonic()
    with pytest.raises(TransientError) as caught:
        pool.acquire(soon(0.2))
    assert caught.value.code == "pool_exhausted"
    assert 0.2 <= time.monotonic() - started < 0.5
    assert pool.stats().timeouts == 1
    pool.release(lease)


def test_who_waits_gets_the_connection_that_is_released(new_pool):
    pool = new_pool(size=1)
    lease = pool.acquire(soon())
    with ThreadPoolExecutor(1) as threads:
        waiting = threads.submit(pool.acquire, soon())
        eventually(lambda: pool.stats().pending_requests == 1)
        pool.release(lease)
        assert waiting.result(timeout=5) is lease
    pool.release(lease)


def test_a_failed_connect_gives_its_place_back(new_pool, database_url):
    failures = [TransientError("refused", "Nothing answers.", "")]

    def flaky():
        if failures:
            raise failures.pop()
        return connect(database_url)

    pool = new_pool(size=1, connect_=flaky)
    with pytest.raises(TransientError):
        pool.acquire(soon())
    pool.release(pool.acquire(soon()))


@pytest.mark.direct
def test_idle_connections_are_closed_by_themselves_without_any_traffic(new_pool, database_url):
    pool = new_pool(idle_timeout_s=0.2)
    leases = [pool.acquire(soon()) for _ in range(3)]
    for lease in leases:
        pool.release(lease)
    assert pool.stats().idle == 3
    eventually(lambda: backends(database_url) == 0, within_s=5)
    # A closed connection is counted until the timer's thread has closed all of them.
    eventually(lambda: (pool.stats().idle, pool.stats().used) == (0, 0), within_s=5)


@pytest.mark.direct
def test_idle_connections_are_closed_again_and_again(new_pool, database_url):
    pool = new_pool(idle_timeout_s=0.1)
    for _ in range(3):
        pool.release(pool.acquire(soon()))
        eventually(lambda: backends(database_url) == 0, within_s=5)
    assert pool.stats().created == 3


def test_a_connection_older_than_its_lifetime_is_replaced(new_pool, database_url):
    pool = new_pool(max_lifetime_s=0.1)
    old = pool.acquire(soon())
    first = pid(old)
    eventually(lambda: time.monotonic() > old.made_at + 0.1)
    pool.release(old)
    new = pool.acquire(soon())
    assert pid(new) != first
    assert old.connection.closed
    pool.release(new)


@pytest.mark.direct
def test_a_connection_the_server_ended_while_idle_is_replaced(new_pool, database_url):
    pool = new_pool()
    lease = pool.acquire(soon())
    gone = pid(lease)
    pool.release(lease)
    run(database_url, f"SELECT pg_terminate_backend({gone}, 5000)")
    again = pool.acquire(soon())
    assert execute(again.connection, "SELECT 1")[1] == [(1,)]
    assert pid(again) != gone
    pool.release(again)


def test_a_backend_ended_while_idle_costs_a_record_no_retry(recorder, database_url):
    recorder.record(a_call())
    run(
        database_url,
        "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity"
        " WHERE datname = current_database() AND pid <> pg_backend_pid()",
    )
    outcome = recorder.record(a_call())
    assert (outcome.status, outcome.retry_count) == ("recorded", 0)


def test_a_connection_closed_on_loan_is_not_lent_again(new_pool):
    pool = new_pool(size=1)
    lease = pool.acquire(soon())
    lease.connection.close()
    pool.release(lease)
    with closing(pool.acquire(soon()).connection) as connection:
        assert execute(connection, "SELECT 1")[1] == [(1,)]


def test_the_figures_follow_what_happens(new_pool):
    pool = new_pool(size=2)
    assert pool.stats().create_time_ms is None
    one, two = pool.acquire(soon()), pool.acquire(soon())
    stats = pool.stats()
    assert (stats.max, stats.used, stats.idle, stats.created, stats.pending_requests) == (2, 2, 0, 2, 0)
    assert 0 < stats.create_time_ms < 5000
    pool.release(one)
    assert (pool.stats().used, pool.stats().idle) == (1, 1)
    pool.release(two)


def test_a_closed_pool_opens_again_when_it_is_used(new_pool, database_url):
    pool = new_pool()
    pool.release(pool.acquire(soon()))
    pool.close()
    eventually(lambda: backends(database_url) == 0)
    pool.release(pool.acquire(soon()))


def test_a_connection_is_lent_to_one_thread_at_a_time(new_pool):
    pool = new_pool(size=4)
    lent: set[int] = set()
    guard = threading.Lock()

    def work(_):
        for _ in range(20):
            lease = pool.acquire(soon(20))
            with guard:
                assert pid(lease) not in lent
                lent.add(pid(lease))
            execute(lease.connection, "SELECT 1")
            with guard:
                lent.remove(pid(lease))
            pool.release(lease)

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(work, range(8)))


FORK = """
import os, sys
sys.path.insert(0, "tests")
from support import a_call
from tracker import Tracker
recorder = Tracker(mode="direct", log_records=False)
assert recorder.record(a_call()).stored
for generation in range(3):
    child = os.fork()
    if child == 0:
        first = recorder.record(a_call())
        second = recorder.record(a_call())
        os._exit(0 if first.stored and second.stored and first.retry_count == second.retry_count == 0 else 1)
    between = recorder.record(a_call())
    assert between.stored and between.retry_count == 0, between
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
after = recorder.record(a_call())
assert after.stored and after.retry_count == 0, after
print(recorder.pool_stats().created)
"""


def test_parent_and_child_both_go_on_after_a_fork_each_on_connections_of_its_own(database_url):
    done = python("-c", FORK, env={"DATABASE_URL": database_url})
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "1"
    assert value(database_url, "SELECT count(*) FROM token_usage") == 1 + 3 * 3 + 1


FORK_AND_EXIT = """
import multiprocessing, sys
sys.path.insert(0, "tests")
from support import a_call
from tracker import shared

def child():
    assert shared().record(a_call()).stored

if __name__ == "__main__":
    assert shared(mode="direct", log_records=False).record(a_call()).stored
    context = multiprocessing.get_context("fork")
    children = [context.Process(target=child) for _ in range(4)]
    for one in children: one.start()
    for one in children: one.join(20)
    assert [one.exitcode for one in children] == [0] * 4
    outcome = shared().record(a_call())
    assert (outcome.status, outcome.retry_count) == ("recorded", 0), outcome
"""


def test_a_child_that_ends_in_order_does_not_end_its_parents_session(database_url):
    done = python("-c", FORK_AND_EXIT, env={"DATABASE_URL": database_url})
    assert done.returncode == 0, done.stderr
    assert value(database_url, "SELECT count(*) FROM token_usage") == 6


FORK_WHILE_BUSY = """
import os, signal, sys, threading
sys.path.insert(0, "tests")
from faults import Proxy
from support import a_call, eventually
from tracker import Tracker
with Proxy(os.environ["DATABASE_URL"]) as proxy:
    recorder = Tracker(mode="direct", database_url=proxy.url, log_records=False)
    proxy.delay_to_client_ms = 100
    thread = threading.Thread(target=recorder.record, args=(a_call(),))
    thread.start()
    eventually(lambda: proxy.statements)  # it asks what the table looks like: its locks are held
    child = os.fork()
    if child == 0:
        signal.alarm(10)  # what hangs here would keep our output open
        direct = Tracker(mode="direct", database_url=os.environ["DATABASE_URL"], log_records=False)
        recorder._pool._connect = direct._pool._connect
        os._exit(0 if recorder.record(a_call()).stored else 1)
    status = os.waitpid(child, 0)[1]
    assert status == 0, f"the child ended with {status}"
    thread.join()
"""


def test_a_child_forked_while_another_thread_records_its_first_call_does_not_hang(database_url):
    done = python("-c", FORK_WHILE_BUSY, env={"DATABASE_URL": database_url})
    assert done.returncode == 0, done.stderr
    assert value(database_url, "SELECT count(*) FROM token_usage") == 2
