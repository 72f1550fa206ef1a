"""A setting that another client or an administrator left in the session does not stop a record."""

from __future__ import annotations

import time

import pytest
from recording_support import in_time
from support import a_call, eventually, run, set_default, value

from tracker.database.url import clean


@pytest.mark.parametrize("whose", ["DATABASE", "ROLE"])
def test_a_session_left_read_only_is_cured(new_tracker, database_url, limited_url, whose):
    url = clean(limited_url)
    name = url.dbname if whose == "DATABASE" else url.user
    run(database_url, f"ALTER {whose} {name} SET default_transaction_read_only = on")
    outcome = new_tracker(database_url=limited_url).record(a_call())
    assert (outcome.status, outcome.retry_count) == ("recorded", 1), outcome.error


def slow_inserts(url: str, seconds: float) -> None:
    run(
        url,
        f"CREATE FUNCTION slowly() RETURNS trigger LANGUAGE plpgsql AS"
        f" 'BEGIN PERFORM pg_sleep({seconds}); RETURN new; END'",
        "CREATE TRIGGER slowly BEFORE INSERT ON token_usage FOR EACH ROW EXECUTE FUNCTION slowly()",
    )


def test_a_statement_timeout_left_behind_is_cured(new_tracker, database_url):
    slow_inserts(database_url, 0.3)
    set_default(database_url, "statement_timeout = 100")
    outcome = new_tracker().record(a_call())
    assert (outcome.status, outcome.retry_count) == ("recorded", 1), outcome.error


def test_a_cure_leaves_nothing_behind_in_the_session(new_tracker, database_url):
    set_default(database_url, "default_transaction_read_only = on")
    recorder = new_tracker()
    assert recorder.record(a_call()).status == "recorded"
    lease = recorder._pool.acquire(time.monotonic() + 5)
    with lease.connection.cursor() as cursor:
        cursor.execute("SELECT current_setting('transaction_read_only'), current_setting('statement_timeout')")
        assert cursor.fetchone() == ("on", "0")
    recorder._pool.release(lease)


def test_a_cured_statement_still_ends_at_the_deadline_in_the_server_too(new_tracker, database_url):
    slow_inserts(database_url, 30)
    set_default(database_url, "statement_timeout = 100")
    outcome = in_time(new_tracker(), 1.0)
    assert outcome.status == "queued"
    running = (
        "SELECT count(*) FROM pg_stat_activity WHERE state = 'active' AND application_name LIKE 'token-tracker/%%'"
        " AND query LIKE '%%INSERT INTO%%'"
    )
    eventually(lambda: value(database_url, running) == 0)
