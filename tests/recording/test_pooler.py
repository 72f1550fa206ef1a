"""Behind PgBouncer in transaction mode: what Supabase's port 6543 and Neon's -pooler are."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
from support import a_call, leave_behind, rows, set_default, value

from tracker import Tracker

pytestmark = pytest.mark.pooler
SETTINGS = (
    "SELECT current_setting('statement_timeout'), current_setting('default_transaction_read_only'),"
    " current_setting('lock_timeout'), current_setting('search_path')"
)


def test_fifty_threads_through_five_connections_lose_and_double_nothing(pooler, database_url):
    with Tracker(mode="direct", database_url=pooler(database_url), pool_size=50, log_records=False) as recorder:

        def work(_):
            return [recorder.record(a_call(), 60) for _ in range(6)]

        with ThreadPoolExecutor(50) as pool:
            outcomes = [outcome for part in pool.map(work, range(50)) for outcome in part]
    assert {outcome.status for outcome in outcomes} == {"recorded"}
    assert rows(database_url, "SELECT count(*), count(DISTINCT sequence), max(sequence) FROM token_usage") == [
        (300, 300, 300)
    ]


def test_the_server_sees_five_connections_at_most(pooler, database_url):
    with Tracker(mode="direct", database_url=pooler(database_url), pool_size=20, log_records=False) as recorder:
        with ThreadPoolExecutor(20) as pool:
            list(pool.map(lambda _: recorder.record(a_call(), 30), range(100)))
        question = (
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
        assert 1 <= value(database_url, question) <= 5


def test_a_record_is_a_duplicate_for_every_client_of_the_pooler(pooler, database_url):
    through = pooler(database_url)
    with Tracker(mode="direct", database_url=through) as one, Tracker(mode="direct", database_url=through) as other:
        usage = a_call()
        assert one.record(usage).status == "recorded"
        assert other.record(usage).status == "duplicate"


def test_recording_leaves_no_setting_in_the_poolers_connections(pooler, database_url):
    through = pooler(database_url)
    before = set(rows(through, SETTINGS))
    with (
        Tracker(mode="direct", database_url=through, pool_size=10, log_records=False) as recorder,
        ThreadPoolExecutor(10) as pool,
    ):
        list(pool.map(lambda _: recorder.record(a_call(), 30), range(50)))
    with ThreadPoolExecutor(10) as pool:
        after = {row for part in pool.map(lambda _: rows(through, SETTINGS), range(20)) for row in part}
    assert after == before


@pytest.mark.parametrize("left_behind", ["SET default_transaction_read_only = on", "SET statement_timeout = 1"])
def test_what_another_client_left_in_a_shared_connection_loses_no_record(pooler, database_url, left_behind):
    through = pooler(database_url)
    leave_behind(through, left_behind)
    with Tracker(mode="direct", database_url=through, log_records=False) as recorder:
        outcomes = [recorder.record(a_call(), 20) for _ in range(10)]
    assert {outcome.status for outcome in outcomes} == {"recorded"}, outcomes


def test_a_cure_does_not_leak_to_the_next_client(pooler, database_url):
    set_default(database_url, "default_transaction_read_only = on")
    through = pooler(database_url)
    with Tracker(mode="direct", database_url=through) as recorder:
        assert recorder.record(a_call()).retry_count == 1
    assert rows(through, SETTINGS)[0][:2] == ("0", "on")


def test_no_start_up_parameter_is_refused_by_the_pooler(pooler, database_url):
    url = f"{pooler(database_url)}?pgbouncer=true&connection_limit=1&options=-c%20search_path%3Dpublic"
    with Tracker(mode="direct", database_url=url) as recorder:
        assert recorder.record(a_call()).error is None


@pytest.mark.pooler
@pytest.mark.parametrize("mode", ["direct", "background"])
def test_recording_works_behind_a_pooler_in_statement_mode(statement_pooler, database_url, mode):
    with Tracker(database_url=statement_pooler(database_url), mode=mode) as recorder:
        outcomes = [recorder.record(a_call()) for _ in range(3)]
        assert recorder.flush(10) == 0
    assert {outcome.status for outcome in outcomes} <= {"recorded", "queued"}
    assert value(database_url, "SELECT count(*) FROM token_usage") == 3
