"""A refresh processes each change, also after faults of the refresh itself."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta

import psycopg2
import pytest
from rollups_support import Store
from support import a_call, connect, eventually, run, value, with_role

from tracker import Tracker
from tracker.database.url import clean
from tracker.errors import DatabaseError, SetupError
from tracker.maintenance import delete_test_records, sample_data
from tracker.reports import Filters, usage_totals
from tracker.reports.engine.freshness import Refresher
from tracker.rollups import prune as pruning
from tracker.rollups import refresh as refreshing
from tracker.rollups import refresh_lock
from tracker.rollups import replace_buckets as replacing
from tracker.rollups.invalidation import execute_and_invalidate, invalidate_buckets
from tracker.rollups.rollup_state import require_write_access

NOON = datetime(2026, 3, 10, 12, tzinfo=UTC)
RANGE = Filters(start=NOON - timedelta(days=3), end=NOON + timedelta(days=3), timezone="Asia/Kolkata")
LIVE_15M = "minutes = 15 AND generation = 0"


def calls(store: Store) -> int:
    return usage_totals.totals(store.reader, RANGE).calls


def catch_up(store: Store) -> None:
    """Bring the rollups up to date, and wait until the new rows are behind the visibility horizon."""
    store.catch_up()
    assert not store.state().dirty_buckets


def test_a_covered_day_is_read_from_the_rollup(store: Store) -> None:
    store.call(created_at=NOON)
    catch_up(store)
    run(store.url, "UPDATE token_tracker_usage_rollup SET calls = 41")
    assert calls(store) == 41


def test_a_refresh_without_changes_replaces_no_bucket(store: Store) -> None:
    store.add({"created_at": NOON + timedelta(hours=hour)} for hour in range(9))
    catch_up(store)
    before = store.count("token_tracker_usage_rollup")
    assert store.refresh() == refreshing.RefreshStep(0, more=False)
    assert store.count("token_tracker_usage_rollup") == before


def test_a_back_dated_row_of_another_application_is_found(store: Store) -> None:
    store.call(created_at=NOON)
    catch_up(store)
    run(
        store.url,
        "INSERT INTO token_usage (model, input_tokens, output_tokens, total_tokens, created_at)"
        " VALUES ('old', 1, 2, 3, '2026-03-09 01:02:03Z')",
    )
    assert calls(store) == 2
    assert store.refresh() == refreshing.RefreshStep(1, more=False)
    assert store.count("token_tracker_usage_rollup", LIVE_15M) == 2
    assert store.differences() == []


def test_a_row_whose_transaction_began_before_a_refresh_and_ended_after_it_is_found(store: Store) -> None:
    catch_up(store)
    with closing(psycopg2.connect(store.url)) as slow, slow.cursor() as cursor:
        cursor.execute("SELECT now()")
        began = cursor.fetchone()
        eventually(lambda: value(store.url, "SELECT clock_timestamp() - %s > '3 s'", began))
        cursor.execute(
            "INSERT INTO token_usage (model, input_tokens, output_tokens, total_tokens, created_at)"
            " VALUES ('slow', 1, 2, 3, %s)",
            (NOON,),
        )
        store.refresh()
        slow.commit()
    assert calls(store) == 1
    catch_up(store)
    assert store.count("token_tracker_usage_rollup", LIVE_15M) == 1
    assert store.differences() == []


def test_the_horizon_is_an_hour_ago_if_other_transactions_are_hidden(store: Store, limited_url: str) -> None:
    role = clean(limited_url).user
    run(store.url, f"GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO {role}")
    with closing(connect(limited_url)) as own:
        step = refreshing.catch_up(own, store.table)
    assert step == 0
    seen = "SELECT now() - seen_until BETWEEN '59 min' AND '62 min' FROM token_tracker_rollup_state"
    assert value(store.url, seen)


def test_a_call_in_the_future_is_counted_like_any_other(store: Store) -> None:
    catch_up(store)
    later = datetime.now(UTC) + timedelta(days=40)
    store.call(created_at=later)
    catch_up(store)
    filters = Filters(start=later - timedelta(days=1), end=later + timedelta(days=1))
    assert usage_totals.totals(store.reader, filters).calls == 1
    assert store.differences() == []


def test_deleted_samples_and_tests_are_not_counted(store: Store) -> None:
    store.call(created_at=NOON)
    sample_data.add(store.connection, days=2)
    store.call(created_at=NOON, is_test=True)
    catch_up(store)
    filters = Filters(start=NOON - timedelta(days=3), end=datetime.now(UTC), include_tests=True)
    assert usage_totals.totals(store.reader, filters).calls > 3
    delete_test_records.remove_samples(store.reader)
    delete_test_records.remove_tests(store.reader)
    assert usage_totals.totals(store.reader, filters).calls == 1
    catch_up(store)
    assert usage_totals.totals(store.reader, filters).calls == 1
    assert store.differences() == []


def test_a_change_and_its_invalidation_are_visible_together(store: Store) -> None:
    store.call(created_at=NOON, cost=1)
    catch_up(store)
    with store.connection.cursor() as cursor:
        cursor.execute("BEGIN")
        cursor.execute("UPDATE token_usage SET cost = 2")
        invalidate_buckets(store.connection, None, [NOON])
        assert usage_totals.totals(store.reader, RANGE).cost_usd == 1
        cursor.execute("COMMIT")
    assert usage_totals.totals(store.reader, RANGE).cost_usd == 2
    assert execute_and_invalidate(store.connection, None, "UPDATE {table} AS calls SET cost = %(c)s", {"c": 3}) == 1
    assert usage_totals.totals(store.reader, RANGE).cost_usd == 3


def test_an_invalidation_committed_during_a_refresh_is_kept(store: Store) -> None:
    store.call(created_at=NOON)
    catch_up(store)
    with closing(psycopg2.connect(store.url)) as other, other.cursor() as cursor:
        cursor.execute("DELETE FROM token_usage")
        invalidate_buckets(other, None, [NOON])
        store.refresh()
        other.commit()
    assert calls(store) == 0
    catch_up(store)
    assert calls(store) == 0
    assert store.differences() == []


def test_more_changes_than_one_step_are_all_processed(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    catch_up(store)
    monkeypatch.setattr(refreshing, "MAX_BUCKETS_PER_STEP", 3)
    store.add({"created_at": NOON + timedelta(minutes=20 * number)} for number in range(10))
    assert store.refresh() == refreshing.RefreshStep(3, more=True)
    assert calls(store) == 10
    catch_up(store)
    assert calls(store) == 10
    assert store.differences() == []


def test_a_backfill_runs_in_steps_and_reports_are_correct_during_it(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(refreshing, "BACKFILL_ROWS", 3)
    store.add({"created_at": NOON + timedelta(hours=7 * number)} for number in range(-10, 10))
    steps = 0
    while (step := refreshing.backfill(store.connection, store.table)) and step.more:
        steps += 1
        assert calls(store) == 20
    assert steps > 3
    assert store.state().complete


def test_a_refresh_ends_while_an_old_transaction_is_open(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    catch_up(store)
    monkeypatch.setattr(refreshing, "MAX_BUCKETS_PER_STEP", 3)
    with closing(psycopg2.connect(store.url)) as idle, idle.cursor() as cursor:
        cursor.execute("SELECT now()")
        store.add({"created_at": NOON + timedelta(minutes=20 * number)} for number in range(10))
        for _ in range(2):
            assert store.refresh() == refreshing.RefreshStep(3, more=True)
            left = [refreshing.refresh_dirty(store.connection, store.table) for _ in range(3)]
            assert left == [
                refreshing.RefreshStep(3, more=True),
                refreshing.RefreshStep(3, more=True),
                refreshing.RefreshStep(1, more=False),
            ]
            assert calls(store) == 10
        assert store.catch_up() >= 10
        assert store.count("token_tracker_rollup_touched") == 0
        assert store.count("token_tracker_usage_rollup", LIVE_15M) == 10
    catch_up(store)
    assert store.differences() == []


def test_a_recent_row_without_recorded_at_is_found(store: Store) -> None:
    catch_up(store)
    store.call(created_at=datetime.now(UTC), recorded_at=None)
    filters = Filters(start=datetime.now(UTC) - timedelta(hours=1), end=datetime.now(UTC) + timedelta(hours=1))
    assert usage_totals.totals(store.reader, filters).calls == 1
    store.catch_up()
    assert store.count("token_tracker_usage_rollup", LIVE_15M) == 1
    assert usage_totals.totals(store.reader, filters).calls == 1


def test_rows_pruned_between_reading_the_state_and_the_query_are_counted_once(store: Store) -> None:
    store.call(created_at=NOON)
    catch_up(store)
    store.call(created_at=NOON)
    with store.reader.pin_rollup_state():
        assert calls(store) == 2
        assert pruning.prune(store.connection, store.table, int((NOON + timedelta(days=1)).timestamp())) == 2
        assert calls(store) == 2
    assert calls(store) == 2


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


# --- the reader ---------------------------------------------------------------------------------------------------


def test_a_reader_refreshes_in_the_background(store: Store) -> None:
    store.call(created_at=NOON)
    store.reader._refresher = Refresher(store.reader.borrow)
    assert calls(store) == 1
    eventually(lambda: store.state().complete)
    eventually(lambda: store.reader.freshness().complete)


def test_a_pinned_rollup_state_is_read_once(store: Store) -> None:
    with store.reader.pin_rollup_state():
        first = store.reader.rollup_state()
        store.catch_up()
        assert store.reader.rollup_state() is first
        assert calls(store) == 0
    assert store.reader.rollup_state() != first


def test_a_role_that_may_not_write_reads_rollups_and_rows_and_gets_the_grant(
    store: Store, limited_url: str, new_store: Callable[[str], Store]
) -> None:
    store.call(created_at=NOON)
    catch_up(store)
    run(store.url, "UPDATE token_tracker_usage_rollup SET calls = 41")
    role = clean(limited_url).user
    run(store.url, f"GRANT SELECT ON ALL TABLES IN SCHEMA public TO {role}")
    limited = new_store(limited_url)
    assert calls(limited) == 41
    store.call(created_at=NOON + timedelta(hours=1))
    assert calls(limited) == 42
    found = limited.reader.freshness()
    assert found.as_of is not None
    assert found.remedy is not None
    run(store.url, found.remedy)
    assert new_store(limited_url).reader.freshness().remedy is None


def test_a_role_without_rights_on_the_rollups_reads_the_rows(
    store: Store, limited_url: str, new_store: Callable[[str], Store]
) -> None:
    store.call(created_at=NOON)
    catch_up(store)
    limited = new_store(limited_url)
    assert calls(limited) == 1
    assert str(limited.reader.freshness().remedy).startswith("GRANT SELECT")
    with pytest.raises(SetupError) as refused:
        require_write_access(limited.connection, limited.table)
    assert "GRANT" in refused.value.remedy


def test_a_database_without_rollup_tables_is_read_from_its_rows(store: Store) -> None:
    store.call(created_at=NOON)
    from tracker.rollups import rollup_tables

    run(store.url, f"DROP TABLE {', '.join(rollup_tables.ALL)}")
    assert calls(store) == 1
    assert store.reader.freshness().remedy == "token-tracker migrate"
    assert sample_data.remove(store.connection) == 0


def test_a_role_with_row_level_security_on_the_rollups_reads_the_rows(
    store: Store, new_role: Callable[..., str], new_store: Callable[[str], Store]
) -> None:
    store.call(created_at=NOON)
    catch_up(store)
    role = new_role()
    run(store.url, f"GRANT SELECT ON ALL TABLES IN SCHEMA public TO {role}")
    run(store.url, "ALTER TABLE token_tracker_usage_rollup ENABLE ROW LEVEL SECURITY")
    assert calls(new_store(with_role(store.url, role))) == 1


def test_a_role_with_row_level_security_reads_its_rows_and_never_refreshes(
    store: Store, new_role: Callable[..., str], new_store: Callable[[str], Store]
) -> None:
    store.add([{"created_at": NOON, "user_id": "u1"}, {"created_at": NOON, "user_id": "u2"}])
    catch_up(store)
    role = new_role()
    run(
        store.url,
        f"GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO {role}",
        "ALTER TABLE token_usage ENABLE ROW LEVEL SECURITY",
        f"CREATE POLICY own ON token_usage TO {role} USING (user_id = 'u1') WITH CHECK (user_id = 'u1')",
    )
    limited = new_store(with_role(store.url, role))
    assert calls(limited) == 1
    assert "BYPASSRLS" in str(limited.reader.freshness().remedy)
    with pytest.raises(SetupError, match="no permission to write"):
        require_write_access(limited.connection, limited.table)
    limited.reader._refresher = Refresher(limited.reader.borrow)
    limited.call(created_at=NOON, user_id="u1")
    assert calls(limited) == 2
    assert limited.reader._refresher._worker.is_due()
    assert calls(store) == 3


def test_a_read_only_session_gets_the_command_for_a_refresh(
    store: Store, new_role: Callable[..., str], new_store: Callable[[str], Store]
) -> None:
    catch_up(store)
    role = new_role()
    run(
        store.url,
        f"GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO {role}",
        f"ALTER ROLE {role} SET default_transaction_read_only = on",
    )
    found = new_store(with_role(store.url, role)).reader.freshness()
    assert found.complete
    assert "token-tracker rollup" in str(found.remedy)


# --- by hand ------------------------------------------------------------------------------------------------------


def test_manually_deleted_rows_are_found_by_verify_and_corrected_by_rebuild(store: Store) -> None:
    store.add({"created_at": NOON + timedelta(days=day), "model": "gpt-4"} for day in range(3))
    catch_up(store)
    run(store.url, "DELETE FROM token_usage WHERE created_at < '2026-03-11'")
    named = store.differences()
    assert any("2026-03-10 12:00Z" in line and "gpt-4" in line and "usage" in line for line in named), named
    refreshing.rebuild(store.connection, store.table)
    assert store.differences() == []
    assert calls(store) == 2


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE token_tracker_usage_rollup SET cost = 7 WHERE minutes = 1440",
        "DELETE FROM token_tracker_latency_rollup WHERE minutes = 60",
        "INSERT INTO token_tracker_recording_rollup SELECT * FROM token_tracker_recording_rollup",
        "UPDATE token_tracker_user_rollup SET total_tokens = 1",
        "UPDATE token_tracker_user_rollup SET day = day - interval '9 days'",
    ],
)
def test_a_wrong_rollup_row_is_found_by_verify_and_corrected_by_rebuild(store: Store, change: str) -> None:
    store.call(created_at=NOON, processing_time=12, delivery="direct", connection_ms=3)
    catch_up(store)
    run(store.url, change)
    assert store.differences() != []
    refreshing.rebuild(store.connection, store.table, int((NOON - timedelta(days=20)).timestamp()))
    assert store.differences() == []


def test_rebuild_since_a_day_does_not_change_earlier_days(store: Store) -> None:
    store.add({"created_at": NOON + timedelta(days=day)} for day in range(3))
    catch_up(store)
    run(store.url, "UPDATE token_tracker_usage_rollup SET calls = 9")
    assert refreshing.rebuild(store.connection, store.table, int((NOON + timedelta(days=2)).timestamp())) == 1
    assert calls(store) == 19
