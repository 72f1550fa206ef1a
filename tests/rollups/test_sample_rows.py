"""Rollups separate sample rows, also after an upgrade and a prune; budgets and bills don't count them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from rollups_support import Store
from support import connect, run

from tracker.budgets import budget_store
from tracker.budgets.budget import Budget
from tracker.budgets.evaluate import BudgetCheck, send_due_alerts
from tracker.database.migrate import migrate
from tracker.maintenance import sample_data
from tracker.platforms import Runtime
from tracker.reports import Filters, usage_totals
from tracker.rollups import prune as pruning
from tracker.rollups.rollup_state import read_access

NOW = datetime(2026, 6, 10, 12, tzinfo=UTC)
RANGE = Filters(start=NOW - timedelta(days=4), end=NOW + timedelta(days=1), timezone="UTC")
REAL = {"created_at": NOW - timedelta(hours=1), "user_id": "user_01", "model": "gemini-2.5-flash", "cost": "0.5"}
SEPARATED = (
    "usage_rollup", "unpriced_rollup", "latency_rollup", "recording_rollup", "user_rollup", "user_day_rollup",
)  # fmt: skip
OLD_SAMPLES = (
    "INSERT INTO token_usage (id, created_at, user_id, model, input_tokens, output_tokens, total_tokens, cost,"
    " environment, platform, region, deployment, metadata)"
    " SELECT ('019e0000-0000-7000-8000-' || lpad(number::text, 12, '0'))::uuid, '2026-06-10 11:05Z', 'user_01',"
    " 'gemini-2.5-flash', 100, 20, 120, 1, 'production', 'vercel', 'icn1', 'sample', '{\"sample\": true}'"
    " FROM generate_series(1, 5) AS number"
)


def spent(store: Store, **fields: object) -> BudgetCheck:
    """The state of the budget *real* and of the sample budgets. No alert is due for a sample budget."""
    access = budget_store.read_access(store.connection, None)
    budget = Budget(**{"name": "real", "period": "day", "measure": "usd", "amount": Decimal(1), **fields})  # type: ignore[arg-type]
    budget_store.save(store.connection, access, budget)
    alerts: list[dict[str, object]] = []
    result = send_due_alerts(
        store.connection, None, Runtime(platform="local", environment="test"), alerts.append, NOW + timedelta(hours=1)
    )
    assert [alert["budget"] for alert in alerts] == ["real"] * result.sent
    return result


def used(result: BudgetCheck, name: str) -> Decimal:
    return next(state.used for state in result.states if state.budget.name == name)


@pytest.mark.parametrize("refreshed", [False, True])
@pytest.mark.parametrize("scope", [{}, {"scope": "user", "subject": "user_01"}])
def test_a_budget_counts_no_sample_and_a_sample_budget_only_samples(
    store: Store, refreshed: bool, scope: dict[str, str]
) -> None:
    store.call(**REAL)
    added = sample_data.add(store.connection, days=2, now=NOW)
    if refreshed:
        store.catch_up()
        assert store.differences() == []
    result = spent(store, **scope)
    assert used(result, "real") == Decimal("0.5")
    assert used(result, "Team") > 0
    assert result.sent == 0
    totals = usage_totals.totals(store.reader, RANGE)
    assert (totals.calls, totals.sample_calls) == (added + 1, added)


def test_a_full_sample_budget_sends_no_alert(store: Store) -> None:
    sample_data.add(store.connection, days=2, now=NOW)
    run(store.url, "UPDATE token_tracker_budgets SET amount = 1e-6 WHERE is_sample")
    result = spent(store)
    assert used(result, "Team") > 0
    assert (result.sent, store.count("token_tracker_budget_alerts")) == (0, 0)


def test_removal_restores_the_rollups(store: Store) -> None:
    store.call(**REAL)
    sample_data.add(store.connection, days=2, now=NOW)
    store.catch_up()
    assert store.count("token_tracker_recording_rollup", "is_sample") > 0
    sample_data.remove(store.connection)
    store.catch_up()
    assert store.differences() == []
    assert [store.count(f"token_tracker_{name}", "is_sample") for name in SEPARATED] == [0] * len(SEPARATED)
    assert usage_totals.totals(store.reader, RANGE).calls == 1


def test_pruned_samples_leave_no_ledger_entry_and_are_removed(store: Store) -> None:
    store.call(**{**REAL, "created_at": NOW - timedelta(days=3)})
    added = sample_data.add(store.connection, days=4, now=NOW)
    store.catch_up()
    pruning.prune(store.connection, store.table, int((NOW - timedelta(days=1)).replace(hour=0).timestamp()))
    assert store.count("token_tracker_ledger") == 0
    assert usage_totals.totals(store.reader, RANGE).sample_calls == added
    sample_data.remove(store.connection)
    totals = usage_totals.totals(store.reader, RANGE)
    assert (totals.calls, totals.sample_calls) == (1, 0)
    store.catch_up()
    assert store.differences() == []


def downgrade(store: Store) -> None:
    """The tables of the previous version, with the sums of all rows in one rollup row."""
    run(
        store.url,
        "UPDATE token_tracker_usage_rollup SET calls = 6, cost = 5.5 WHERE NOT is_sample",
        "UPDATE token_tracker_user_day_rollup SET calls = 6, cost = 5.5, total_tokens = 720 WHERE NOT is_sample",
        "UPDATE token_tracker_user_rollup SET calls = 6, cost = 5.5, total_tokens = 720, slot_calls = '{6}',"
        " slot_costs = '{5.5}', slot_tokens = '{720}' WHERE NOT is_sample",
        *(f"DELETE FROM token_tracker_{name} WHERE is_sample" for name in SEPARATED),
        "UPDATE token_tracker_usage_rollup SET sample_calls = 5",
        *(f"ALTER TABLE token_tracker_{name} DROP COLUMN is_sample" for name in (*SEPARATED, "budgets")),
        "DELETE FROM token_tracker_migrations WHERE version = 12",
    )


def test_an_upgrade_separates_the_samples_of_an_earlier_version(store: Store) -> None:
    store.call(**REAL)
    run(store.url, OLD_SAMPLES)
    store.catch_up()
    downgrade(store)
    # Before the migration, the pages read the rows, and budgets work.
    assert not read_access(store.connection, store.table).exists
    assert usage_totals.totals(store.reader, RANGE).sample_calls == 5
    assert used(spent(store), "real") == Decimal("0.5")
    migrate(lambda: connect(store.url))
    assert used(spent(store), "real") == Decimal("0.5")
    store.catch_up()
    assert store.differences() == []
    assert used(spent(store), "real") == Decimal("0.5")
    assert sample_data.remove(store.connection) == 5


def test_a_lost_table_of_user_days_is_filled_with_its_samples(store: Store) -> None:
    sample_data.add(store.connection, days=1, now=NOW)
    store.catch_up()
    run(store.url, "DROP TABLE token_tracker_user_day_rollup", "DROP TABLE token_tracker_unpriced_rollup")
    migrate(lambda: connect(store.url))
    assert store.count("token_tracker_user_day_rollup", "is_sample") > 0
    assert store.count("token_tracker_unpriced_rollup", "is_sample") > 0
