"""The database's clock is set back or ahead: rows recorded during that time are counted."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from rollups_support import Store
from support import run, value

from tracker.budgets.budget import Budget, BudgetWindow
from tracker.budgets.spending import read_spending
from tracker.reports import Filters, usage_totals
from tracker.rollups import refresh

SEEN = "SELECT extract(epoch FROM clock_timestamp() - seen_until)::float8 FROM token_tracker_rollup_state"
STEPS = [timedelta(seconds=30), timedelta(minutes=20), timedelta(hours=1), timedelta(hours=20)]


def counts(store: Store) -> tuple[int, int]:
    """The number of calls of the last two days in a report and in a budget."""
    now = datetime.now(UTC)
    window = BudgetWindow(now - timedelta(days=2), now + timedelta(days=2))
    budget = Budget(name="all", scope="everybody", subject=None, period="day", measure="tokens", amount=Decimal(1))
    (used,) = read_spending(store.connection, store.table, [(budget, window)])
    return usage_totals.totals(store.reader, Filters(start=window.start, end=window.end)).calls, used.tokens // 120


def record(store: Store, count: int, clock_is: timedelta) -> None:
    """Insert calls that end now, with the `recorded_at` of a clock that is ahead by `clock_is`."""
    now = datetime.now(UTC)
    store.add({"created_at": now, "recorded_at": now + clock_is} for _ in range(count))


def refresh_with(store: Store, clock_is: timedelta) -> None:
    """Refresh, and set the state as if the clock was ahead by `clock_is`."""
    store.catch_up()
    run(store.url, f"UPDATE token_tracker_rollup_state SET seen_until = now() + interval '{clock_is.total_seconds()}s'")


@pytest.mark.parametrize("step", STEPS)
def test_a_clock_that_was_ahead_for_one_refresh_hides_no_row(store: Store, step: timedelta) -> None:
    record(store, 100, step)
    refresh_with(store, step - timedelta(seconds=1))
    record(store, 29, timedelta(0))
    assert counts(store) == (129, 129)  # before any refresh
    store.refresh()
    assert counts(store) == (129, 129)
    assert store.differences() == []
    assert value(store.url, SEEN) > 0


@pytest.mark.parametrize("step", STEPS[:3])
def test_a_step_back_without_reads_is_detected_by_the_next_refresh(store: Store, step: timedelta) -> None:
    record(store, 100, timedelta(0))
    refresh_with(store, -timedelta(seconds=1))
    record(store, 29, timedelta(seconds=5) - step)
    store.refresh()
    assert counts(store) == (129, 129)
    assert store.differences() == []


def test_a_step_of_years_is_counted_with_the_next_refresh(store: Store) -> None:
    ahead = timedelta(days=900)
    store.add({"created_at": datetime(2024, 3, day + 1, 12, tzinfo=UTC)} for day in range(20))
    refresh_with(store, ahead)
    store.add(
        {"created_at": datetime(2024, 3, day + 1, 12, tzinfo=UTC), "recorded_at": datetime(2024, 6, 1, tzinfo=UTC)}
        for day in range(20)
    )
    store.refresh()
    assert store.count("token_usage") == 40
    assert store.differences() == []


def test_after_a_step_no_bucket_stays_dirty(store: Store, alone: None) -> None:
    record(store, 10, timedelta(0))
    refresh_with(store, timedelta(hours=1))
    store.refresh()
    run(store.url, "UPDATE token_usage SET recorded_at = recorded_at - interval '10 min'")
    store.catch_up()
    assert not store.state().dirty_buckets
    assert store.refresh() == refresh.RefreshStep(0, more=False)
