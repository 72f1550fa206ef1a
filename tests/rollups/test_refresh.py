"""A refresh processes each change, and a rebuild corrects what it can't detect."""

from __future__ import annotations

from contextlib import closing
from datetime import UTC, datetime, timedelta

import psycopg2
import pytest
from rollups_support import LIVE_15M, NOON, RANGE, Store, calls, catch_up
from support import connect, eventually, run, value

from tracker.database.url import clean
from tracker.maintenance import delete_test_records, sample_data
from tracker.reports import Filters, usage_totals
from tracker.rollups import prune as pruning
from tracker.rollups import refresh as refreshing
from tracker.rollups.invalidation import execute_and_invalidate, invalidate_buckets


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
