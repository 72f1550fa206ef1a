"""Loads and removes sample data: calls, budgets and alerts whose ids or marks no real one has.

Budgets, budget alerts, the loss ledger and the debug report don't count sample rows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from tracker.budgets import budget_store
from tracker.budgets.budget import Budget
from tracker.database.connect import Connection, execute
from tracker.database.sample_ids import IS_SAMPLE, IS_SAMPLE_ID, sample_id
from tracker.database.schema import Table, read_table
from tracker.database.transactions import transaction
from tracker.errors import SetupError
from tracker.maintenance.sample_calls import FIRST_KIND, calls_of_hour, hour_of, outage_alert, outages
from tracker.recording.bulk_insert import BatchWriter, savepoint
from tracker.recording.insert import Row, Target
from tracker.recording.loss_ledger import ALERTS, write_alerts
from tracker.rollups.invalidation import execute_and_invalidate, invalidate_buckets
from tracker.rollups.refresh_lock import lock_rollups, retry_while_locked
from tracker.rollups.rollup_state import read_access
from tracker.rollups.rollup_tables import PROPERTY, ROLLUPS, USER_DAYS, USERS, qualified

DEFAULT_DAYS = 60
"""The default range of the dashboard, 30 days, and the 30 days before, with which it is compared."""
MAX_DAYS = 366
_LOCK_KEY = 0x73616D70 << 32
_STEP = timedelta(minutes=15)
_HOURS_PER_BATCH = 48
_IS_CURRENT = f"(id >= '{sample_id(FIRST_KIND, 0, 0)}' AND id < '{sample_id(FIRST_KIND + 8, 0, 0)}')"
_BUDGETS = (
    Budget(name="Team", period="month", measure="usd", amount=Decimal(30)),
    Budget(name="Chat", scope="operation", subject="chat", period="day", measure="tokens", amount=Decimal(10**6)),
    Budget(
        name="Claude",
        scope="model",
        subject="claude-sonnet-4-5",
        period="month",
        measure="usd",
        amount=Decimal(12),
    ),
)


def add(
    connection: Connection,
    schema: str | None = None,
    *,
    days: int = DEFAULT_DAYS,
    now: datetime | None = None,
    progress: Callable[[float], None] = lambda _: None,
) -> int:
    """Add the sample calls of the last `days` that are not stored yet, and the sample budgets; returns their number.

    They end at the last full quarter of an hour. Sample calls of other versions are removed. Everything is one
    transaction. `progress` is called with the completed share, 0 to 1. Raises `DatabaseError`.
    """
    until = now or datetime.now(UTC)
    until -= (until - datetime.min.replace(tzinfo=UTC)) % _STEP
    start = until - timedelta(days=days)
    with transaction(connection):
        execute(connection, "SELECT pg_advisory_xact_lock(%s)", (_LOCK_KEY,))
        _remove_calls(connection, schema, f"{IS_SAMPLE} AND NOT {_IS_CURRENT}")
        writer = BatchWriter(connection, schema, savepoint)
        changed: list[datetime] = []
        for rows, share in _batches(start, until):
            new = writer.new
            for row in rows:
                writer.add(row, None)
            writer.flush()
            if writer.new > new:
                changed += [row["created_at"] for row in rows]
            progress(share)
        invalidate_buckets(connection, schema, changed)
        _add_alerts(connection, schema, start, until)
        _add_budgets(connection, schema)
    return writer.new


def _batches(start: datetime, until: datetime) -> Iterator[tuple[list[Row], float]]:
    """The rows that were recorded in the range, and the completed share."""
    hours = range(hour_of(start), hour_of(until) + 1)
    for first in range(0, len(hours), _HOURS_PER_BATCH):
        batch = hours[first : first + _HOURS_PER_BATCH]
        rows = [row for hour in batch for row in calls_of_hour(hour)]
        rows = [row for row in rows if row["created_at"] >= start and row["recorded_at"] <= until]
        yield rows, (first + len(batch)) / len(hours)


def _add_alerts(connection: Connection, schema: str | None, start: datetime, until: datetime) -> None:
    target = Target.read(connection, schema)
    if target.can_write_ledger and (alerts := [outage_alert(outage) for outage in outages(start, until)]):
        write_alerts(connection, target, alerts)


def _add_budgets(connection: Connection, schema: str | None) -> None:
    """Add the sample budgets whose names are free, if this role may."""
    access = budget_store.read_access(connection, schema)
    if not (access.can_read and access.has_samples):
        return
    for budget in _BUDGETS:
        try:
            with savepoint(connection):
                budget_store.add_sample(connection, access, budget)
        except SetupError:  # this role may not write budgets
            return


def remove(connection: Connection, schema: str | None = None) -> int:
    """Remove the sample calls, budgets and alerts; returns the number of calls. Raises `DatabaseError`."""
    with transaction(connection):
        removed = _remove_calls(connection, schema, IS_SAMPLE)
        access = budget_store.read_access(connection, schema)
        if access.can_read and access.has_samples:
            budget_store.remove_samples(connection, access)
        target = Target.read(connection, schema)
        if target.can_write_ledger:
            _remove_alerts(connection, target)
    _remove_pruned_totals(connection, read_table(connection, schema))
    return removed


def _remove_calls(connection: Connection, schema: str | None, condition: str) -> int:
    table = Target.read(connection, schema).name
    _, rows = execute(connection, f"SELECT EXISTS (SELECT 1 FROM {table} WHERE {condition})")  # noqa: S608
    if not rows[0][0]:
        return 0  # a role that may not delete can load sample data into an empty table
    return execute_and_invalidate(connection, schema, f"DELETE FROM {{table}} AS calls WHERE {condition}")  # noqa: S608


def _remove_alerts(connection: Connection, target: Target) -> None:
    alerts = target.table(ALERTS)
    _, rows = execute(connection, f"SELECT EXISTS (SELECT 1 FROM {alerts} WHERE {IS_SAMPLE_ID})")  # noqa: S608
    if rows[0][0]:
        execute(connection, f"DELETE FROM {alerts} WHERE {IS_SAMPLE_ID}")  # noqa: S608


def _remove_pruned_totals(connection: Connection, table: Table) -> None:
    """Remove the totals of pruned sample calls from the rollups, if this role may."""
    if not read_access(connection, table).writes:
        return
    names = (*(rollup.table for rollup in (*ROLLUPS, PROPERTY)), USERS, USER_DAYS)
    statements = [
        f"DELETE FROM {qualified(table, name)} WHERE generation > 0 AND is_sample"  # noqa: S608  our own names
        for name in names
    ]

    def delete() -> bool | None:
        with lock_rollups(connection, table) as has_lock:
            if has_lock:
                execute(connection, "; ".join(statements))
            return has_lock or None

    retry_while_locked(delete)


def has_real_calls(connection: Connection, schema: str | None = None) -> bool:
    """Whether a call is stored that is neither a sample nor a test. Raises `DatabaseError`."""
    table = Target.read(connection, schema).name
    _, rows = execute(
        connection,
        f"SELECT EXISTS (SELECT 1 FROM {table} WHERE NOT {IS_SAMPLE} AND is_test IS NOT TRUE)",  # noqa: S608
    )
    return bool(rows[0][0])
