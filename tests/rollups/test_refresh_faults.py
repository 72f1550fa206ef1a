"""A refresh that is killed, suspended or concurrent loses no call."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta

import pytest
from rollups_support import LIVE_15M, NOON, Store, calls, catch_up
from support import a_call, connect, eventually, run, value

from tracker import Tracker
from tracker.errors import DatabaseError
from tracker.reports import Filters, usage_totals
from tracker.rollups import refresh as refreshing
from tracker.rollups import refresh_lock
from tracker.rollups import replace_buckets as replacing

# --- faults -------------------------------------------------------------------------------------------------------


@contextmanager
def before_commit(monkeypatch: pytest.MonkeyPatch, action: Callable[[], None]) -> Iterator[None]:
    """Run `action` after a refresh replaced its buckets and before it commits."""
    original = replacing.replace_buckets

    def interrupted(*arguments: object) -> None:
        original(*arguments)  # type: ignore[arg-type]
        action()

    with monkeypatch.context() as patch:
        patch.setattr(refreshing, "replace_buckets", interrupted)
        yield


def test_a_refresh_that_is_killed_keeps_the_previous_totals(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    store.call(created_at=NOON)
    catch_up(store)
    store.call(created_at=NOON)
    with closing(connect(store.url)) as doomed:

        def kill() -> None:
            with doomed.cursor() as cursor:  # behind a pooler the server's process is not the connection's
                cursor.execute("SELECT pg_backend_pid()")
                (pid,) = cursor.fetchone()
            run(store.url, f"SELECT pg_terminate_backend({pid})")
            eventually(lambda: not value(store.url, f"SELECT count(*) FROM pg_stat_activity WHERE pid = {pid}"))

        with before_commit(monkeypatch, kill), pytest.raises(DatabaseError):
            refreshing.refresh(doomed, store.table)
    assert value(store.url, f"SELECT sum(calls) FROM token_tracker_usage_rollup WHERE {LIVE_15M}") == 1
    assert calls(store) == 2
    assert store.refresh() == refreshing.RefreshStep(1, more=False)
    assert value(store.url, f"SELECT sum(calls) FROM token_tracker_usage_rollup WHERE {LIVE_15M}") == 2


@pytest.mark.parametrize("pooled", [False, pytest.param(True, marks=pytest.mark.pooler)])
def test_a_suspended_refresh_loses_the_lock(
    store: Store, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest, pooled: bool
) -> None:
    url = request.getfixturevalue("pooler")(store.url) if pooled else store.url
    store.call(created_at=NOON)
    monkeypatch.setattr(refresh_lock, "IDLE_IN_TRANSACTION_S", 1)

    def suspended() -> None:
        assert store.refresh() is None
        eventually(store.refresh)

    with (
        closing(connect(url)) as doomed,
        before_commit(monkeypatch, suspended),
        pytest.raises(DatabaseError),
        refresh_lock.lock_rollups(doomed, store.table),
    ):
        suspended()
    catch_up(store)
    assert store.differences() == []


@pytest.mark.parametrize("pooled", [False, pytest.param(True, marks=pytest.mark.pooler)])
def test_only_one_refreshes_at_a_time(
    store: Store, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest, pooled: bool
) -> None:
    url = request.getfixturevalue("pooler")(store.url) if pooled else store.url
    store.call(created_at=NOON)
    inside, go_on = threading.Event(), threading.Event()

    def wait() -> None:
        inside.set()
        assert go_on.wait(20)

    with closing(connect(url)) as first, closing(connect(url)) as second, ThreadPoolExecutor(1) as pool:
        with before_commit(monkeypatch, wait):
            running = pool.submit(refreshing.backfill, first, store.table)
            assert inside.wait(20)
        assert refreshing.backfill(second, store.table) is None
        assert refreshing.refresh(second, store.table) is None
        assert calls(store) == 1
        go_on.set()
        assert running.result(20)
    assert calls(store) == 1
    assert store.differences() == []


@pytest.mark.pooler
def test_concurrent_writers_and_refreshes_behind_a_transaction_pooler_lose_no_call(
    store: Store, pooler: Callable[[str], str]
) -> None:
    through = pooler(store.url)
    catch_up(store)

    def write(number: int) -> None:
        with Tracker(mode="direct", database_url=through, log_records=False) as recorder:
            for call in range(15):
                at = NOON + timedelta(minutes=call + 10 * number) if call % 3 else datetime.now(UTC)
                assert recorder.record(a_call(created_at=at), 30).stored

    def refresh(_: int) -> None:
        with closing(connect(through)) as connection:
            for _ in range(10):
                refreshing.refresh(connection, store.table)

    with ThreadPoolExecutor(7) as pool:
        work = [pool.submit(write, number) for number in range(4)] + [pool.submit(refresh, n) for n in range(3)]
        for done in work:
            done.result(60)
    filters = Filters(start=NOON - timedelta(days=1), end=datetime.now(UTC) + timedelta(hours=1))
    assert usage_totals.totals(store.reader, filters).calls == 60
    catch_up(store)
    assert usage_totals.totals(store.reader, filters).calls == 60
    assert store.differences() == []
