"""Reads the content of a digest through the reports, so that they equal the pages'. Sample calls are not counted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any

from tracker.budgets.progress import BudgetState
from tracker.digest.schedule import DigestDays
from tracker.maintenance.check_budgets import read_budget_states
from tracker.property_names import dimension_of
from tracker.reports import ledger_report, recording_quality, usage_totals
from tracker.reports.anomalies import Anomaly, find_anomaly
from tracker.reports.engine.query_rollups import query_rollups
from tracker.reports.engine.reader import Reader
from tracker.reports.explorer.usage_rows import usage_rows
from tracker.reports.filters import Filters
from tracker.reports.unpriced_usage import unpriced_calls

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

    `users` is None if user ids are not to be shown; `properties` are the indexed keys with their values.
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


def read_content(reader: Reader, days: DigestDays, *, with_users: bool) -> DigestContent:
    """The content of these days. Raises `DatabaseError`."""
    period = Filters(start=days.start, end=days.end, timezone=days.timezone, include_samples=False)
    previous = replace(period, start=days.previous_start, end=days.start)
    with reader.pin_rollup_state():
        budgets = read_budget_states(reader).states
        quality = recording_quality.totals(recording_quality.by_environment(reader, period))
        return DigestContent(
            days=days,
            totals=usage_totals.totals(reader, period),
            previous=usage_totals.totals(reader, previous),
            user_count=usage_totals.users(reader, period),
            previous_user_count=usage_totals.users(reader, previous),
            models=_top_models(reader, period),
            users=_top_users(reader, period) if with_users else None,
            properties=_top_properties(reader, period),
            anomalies=tuple(_anomalies(reader, period, days)),
            budgets=tuple(b for b in budgets if not b.budget.is_sample and (with_users or b.budget.scope != "user")),
            inconsistent_calls=_inconsistent_calls(reader, period),
            missing_records=ledger_report.ledger(reader, period).missing,
            late_records=quality.late_records,
        )


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


def _anomalies(reader: Reader, period: Filters, days: DigestDays) -> Sequence[Anomaly]:
    """The largest anomaly of each day."""
    largest = (find_anomaly(reader, period, end) for end in days.day_ends)
    return [anomaly for anomaly in largest if anomaly]


def _inconsistent_calls(reader: Reader, period: Filters) -> int:
    frame = unpriced_calls(reader, period)
    return int(frame.loc[frame["usage_problem"].notna(), "calls"].sum())
