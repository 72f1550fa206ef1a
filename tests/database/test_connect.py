"""Connections and statements respect their deadlines."""

from __future__ import annotations

import socket
import threading
import time
from contextlib import closing

import pytest
from support import eventually, value, with_parameters, with_role

from tracker.database import connect as driver
from tracker.database.url import clean
from tracker.database.watchdog import Deadline
from tracker.errors import DatabaseError, TransientError


@pytest.fixture
def silent_port():
    """A server that accepts and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


def connect(url: str, timeout_s: float = 5.0, name: str = "tests"):
    return driver.connect(clean(url), timeout_s=timeout_s, application_name=name)


@pytest.mark.parametrize("timeout_s", [0.2, 0.7])
def test_connecting_to_a_server_that_accepts_and_never_answers_ends_in_time(silent_port, timeout_s):
    started = time.monotonic()
    with pytest.raises(TransientError) as caught:
        connect(f"postgresql://ann:hunter2@127.0.0.1:{silent_port}/db", timeout_s)
    assert caught.value.code == "timeout"
    assert timeout_s <= time.monotonic() - started < timeout_s * 1.2 + 0.1
    assert "hunter2" not in str(caught.value)


def test_several_silent_hosts_share_one_time(silent_port):
    """libpq's own connect_timeout counts for each host."""
    started = time.monotonic()
    with pytest.raises(TransientError):
        connect(f"postgresql://u@127.0.0.1:{silent_port},127.0.0.1:{silent_port},127.0.0.1:{silent_port}/db", 0.3)
    assert time.monotonic() - started < 0.5


def test_a_connection_that_comes_too_late_is_closed(proxy, database_url):
    proxy.delay_to_client_ms = 100
    with pytest.raises(TransientError):
        connect(proxy.url, 0.05, "latecomer")
    there = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'latecomer'"
    eventually(lambda: not any(thread.name == "tracker-connect" for thread in threading.enumerate()))
    eventually(lambda: value(database_url, there) == 0)


def test_a_connection_is_in_autocommit_mode(database_url):
    with closing(connect(database_url)) as connection:
        driver.execute(connection, "SELECT 1")
        assert connection.autocommit
        assert connection.info.transaction_status == 0


def test_a_connection_bears_its_application_name(database_url):
    with closing(connect(database_url, name="the tests' name")) as connection:
        assert driver.execute(connection, "SELECT current_setting('application_name')")[1] == [("the tests' name",)]


def test_an_application_name_in_the_url_does_not_hide_ours(database_url):
    with closing(connect(with_parameters(database_url, "application_name=app"), name="ours")) as connection:
        assert driver.execute(connection, "SELECT current_setting('application_name')")[1] == [("ours",)]


def test_a_connection_speaks_utf_8_in_a_database_of_another_encoding(server_url, new_role, database_url):
    role = new_role("LOGIN")
    from support import run

    run(server_url, f"ALTER ROLE {role} SET client_encoding = 'LATIN1'")
    with closing(connect(with_role(database_url, role))) as connection:
        assert driver.execute(connection, "SELECT %s", ("한국어 😀",))[1] == [("한국어 😀",)]


@pytest.mark.parametrize("where", ["before the answer", "in the midst of an answer"])
def test_a_deadline_ends_the_wait_for_a_peer_that_swallows_everything(proxy, where):
    with closing(connect(proxy.url)) as connection:
        driver.execute(connection, "SELECT 1")
        proxy.swallow = True
        limit = Deadline(connection)
        started = time.monotonic()
        with pytest.raises(TransientError) as caught, limit(started + 0.3):
            driver.execute(connection, "SELECT 1" if where.startswith("before") else "SELECT repeat('x', 1000000)")
        assert 0.3 <= time.monotonic() - started < 0.6
    assert caught.value.code == "connection_lost"
    assert limit.fired


def test_a_deadline_ends_a_query_that_takes_too_long(database_url):
    with closing(connect(database_url)) as connection:
        started = time.monotonic()
        with pytest.raises(DatabaseError), Deadline(connection)(started + 0.2):
            driver.execute(connection, "SELECT pg_sleep(30)")
        assert time.monotonic() - started < 0.5


def test_a_deadline_that_was_met_leaves_the_connection_alone(database_url):
    with closing(connect(database_url)) as connection:
        limit = Deadline(connection)
        end = time.monotonic() + 0.05
        with limit(end):
            driver.execute(connection, "SELECT 1")
        eventually(lambda: time.monotonic() > end + 0.1)
        assert driver.execute(connection, "SELECT 2")[1] == [(2,)]
        assert not limit.fired


def test_a_later_deadline_on_the_same_connection_counts_from_its_own_start(database_url):
    with closing(connect(database_url)) as connection:
        limit = Deadline(connection)
        with limit(time.monotonic() + 0.1):
            driver.execute(connection, "SELECT 1")
        with limit(time.monotonic() + 5):
            driver.execute(connection, "SELECT pg_sleep(0.3)")
        started = time.monotonic()
        with pytest.raises(TransientError), limit(started + 0.2):
            driver.execute(connection, "SELECT pg_sleep(30)")
        assert time.monotonic() - started < 0.5


def test_many_deadlines_at_once_each_end_their_own(database_url):
    def one(seconds, took):
        with closing(connect(database_url)) as connection:
            started = time.monotonic()
            with pytest.raises(TransientError), Deadline(connection)(started + seconds):
                driver.execute(connection, "SELECT pg_sleep(30)")
            took[seconds] = time.monotonic() - started

    took: dict[float, float] = {}
    threads = [threading.Thread(target=one, args=(seconds, took)) for seconds in (0.6, 0.2, 0.4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert all(seconds <= took[seconds] < seconds + 0.3 for seconds in (0.2, 0.4, 0.6))
