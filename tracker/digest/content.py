"""Reads the content of a digest through the reports, so that they equal the pages'. Sample calls are not counted."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any, TypeVar

from tracker.budgets.progress import BudgetState
from tracker.digest.schedule import DigestDays
from tracker.errors import DatabaseError
from tracker.maintenance.check_budgets import read_budget_states
from tracker.property_names import dimension_of
from tracker.reports import ledger_report, recording_quality, usage_totals
from tracker.reports.anomalies import Anomaly, find_anomaly
from tracker.reports.engine.query_rollups import query_rollups
from tracker.reports.engine.reader import Reader
from tracker.reports.explorer.usage_rows import usage_rows
from tracker.reports.filters import Filters
from tracker.reports.unpriced_usage import unpriced_calls

T = TypeVar("T")
TOP_COUNT = 5


@dataclass(frozen=True, slots=True)
class TopEntry:
    """A model, a user or a value of a property; `cost_usd` is None if no call has a known cost."""

    name: str
    cost_usd: Decimal | None
    tokens: int
    calls: int


@dataclass(frozen=True, slots=True)
class DigestContent:
    """The content of a digest and of the period before it.

    `users` is None if user ids are excluded; `properties` are the indexed keys with their values. `unavailable` are the
    parts whose query took too long.
    """

    days: DigestDays
    totals: usage_totals.Totals
    previous: usage_totals.Totals
    user_count: int
    previous_user_count: int
    models: tuple[TopEntry, ...]
    users: tuple[TopEntry, ...] | None
    properties: tuple[tuple[str, tuple[TopEntry, ...]], ...]
    anomalies: tuple[Anomaly, ...]
    budgets: tuple[BudgetState, ...]
    inconsistent_calls: int
    missing_records: int
    late_records: int
    unavailable: tuple[str, ...] = ()


class _OptionalParts:
    """Reads the parts without which a digest is still useful; a part whose query takes too long is left out."""

    def __init__(self) -> None:
        self.unavailable: list[str] = []

    def read(self, name: str, read: Callable[[], T], default: T) -> T:
        try:
            return read()
        except DatabaseError as error:
            if error.code != "statement_timeout":
                raise
            self.unavailable.append(name)
            return default


def read_content(reader: Reader, days: DigestDays, *, with_users: bool) -> DigestContent:
    """The content of these days. Raises `DatabaseError`."""
    period = Filters(start=days.start, end=days.end, timezone=days.timezone, include_samples=False)
    previous = replace(period, start=days.previous_start, end=days.start)
    parts = _OptionalParts()
    with reader.pin_rollup_state():
        totals, before = usage_totals.totals(reader, period), usage_totals.totals(reader, previous)
        budgets: list[BudgetState] = parts.read("budgets", lambda: read_budget_states(reader).states, [])
        content = DigestContent(
            days=days,
            totals=totals,
            previous=before,
            user_count=usage_totals.users(reader, period),
            previous_user_count=usage_totals.users(reader, previous),
            models=_top_models(reader, period),
            users=_top_users(reader, period) if with_users else None,
            properties=parts.read("properties", lambda: _top_properties(reader, period), ()),
            anomalies=parts.read("anomalies", lambda: _anomalies(reader, period, days), ()),
            budgets=tuple(b for b in budgets if not b.budget.is_sample and (with_users or b.budget.scope != "user")),
            inconsistent_calls=parts.read("counts", lambda: _inconsistent_calls(reader, period), 0),
            missing_records=parts.read("records", lambda: ledger_report.ledger(reader, period).missing, 0),
            late_records=parts.read("records", lambda: _late_records(reader, period), 0),
        )
    return replace(content, unavailable=tuple(dict.fromkeys(parts.unavailable)))


def _top_models(reader: Reader, period: Filters) -> tuple[TopEntry, ...]:
    rows = query_rollups(reader, "usage", period, by=("model",)).to_dict("records")
    entries = [_entry(row["model"], row) for row in rows]
    return tuple(sorted(entries, key=lambda entry: (-(entry.cost_usd or 0), -entry.tokens))[:TOP_COUNT])


def _top_users(reader: Reader, period: Filters) -> tuple[TopEntry, ...]:
    rows = usage_totals.top_users(reader, period, count=TOP_COUNT).to_dict("records")
    return tuple(_entry(row["user_id"], row) for row in rows)


def _top_properties(reader: Reader, period: Filters) -> tuple[tuple[str, tuple[TopEntry, ...]], ...]:
    """The values with the most tokens of each indexed property; others would need the calls' rows."""
    state = reader.rollup_state()
    measures = ("calls", "total_tokens", "cost_usd")
    tops = []
    for key in state.properties if state else ():
        name = dimension_of(key)
        rows = [row for row in usage_rows(reader, period, (name,), measures).rows if row[name] is not None]
        tops.append((key, tuple(_entry(row[name], row) for row in rows[:TOP_COUNT])))
    return tuple(tops)


def _entry(name: object, row: Mapping[Any, Any]) -> TopEntry:
    cost = row["cost_usd"]
    is_known = cost is not None and cost == cost
    return TopEntry(
        str(name or "unknown"), Decimal(str(cost)) if is_known else None, int(row["total_tokens"]), int(row["calls"])
    )


def _anomalies(reader: Reader, period: Filters, days: DigestDays) -> tuple[Anomaly, ...]:
    """The largest anomaly of each day."""
    largest = (find_anomaly(reader, period, end) for end in days.day_ends)
    return tuple(anomaly for anomaly in largest if anomaly)


def _late_records(reader: Reader, period: Filters) -> int:
    return recording_quality.totals(recording_quality.by_environment(reader, period)).late_records


def _inconsistent_calls(reader: Reader, period: Filters) -> int:
    frame = unpriced_calls(reader, period)
    return int(frame.loc[frame["usage_problem"].notna(), "calls"].sum())
