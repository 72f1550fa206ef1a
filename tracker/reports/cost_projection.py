"""Projects the cost of the current month to its end, at the pace that budgets use."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal

from tracker.budgets.budget import Budget, period_window
from tracker.budgets.progress import BudgetState, forecast_at_pace
from tracker.reports import usage_totals
from tracker.reports.engine.reader import Reader
from tracker.reports.filters import Filters


@dataclass(frozen=True, slots=True)
class CostProjection:
    """The cost of the month until now and at its end, in USD; `at_end` is None at the start of a month."""

    spent: Decimal
    at_end: Decimal | None
    unpriced_calls: int


def project_month(
    reader: Reader, filters: Filters, states: Sequence[BudgetState], now: datetime
) -> CostProjection | None:
    """The projection for the filters' calls, without their range and without tests; None with a filter on the clock.

    If a budget limits the cost of the same calls per month, its amounts are the projection.
    """
    if filters.selected_intervals is not None:
        return None  # the pace of some hours is not that of the month
    if state := _same_calls(filters, states):
        return CostProjection(state.spent.usd, state.forecast, state.spent.unpriced_calls)
    window = period_window("month", filters.timezone, now)
    month = replace(filters, start=window.start, end=now, include_tests=False)
    totals = usage_totals.totals(reader, month)
    spent = totals.cost_usd or Decimal(0)
    return CostProjection(spent, forecast_at_pace(spent, window, now), totals.unpriced_calls)


def _same_calls(filters: Filters, states: Sequence[BudgetState]) -> BudgetState | None:
    """The state of a monthly cost budget for the calls that the filters select, preferably in their time zone."""
    columns = ("model", "provider", "operation", "user", "environment")
    filtered = {column: value for column in columns if (value := getattr(filters, column)) is not None}
    matching = [
        state
        for state in states
        if (state.budget.period, state.budget.measure) == ("month", "usd")
        and set(filters.properties) == set(state.budget.properties)
        and filtered == _filtered_column(state.budget)
    ]
    return min(matching, key=lambda state: state.budget.timezone != filters.timezone, default=None)


def _filtered_column(budget: Budget) -> dict[str, str]:
    return {budget.scope: budget.subject} if budget.subject and not budget.properties else {}
