"""The progress of a budget: the used amount, the share of the limit, and a forecast."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from tracker.budgets.budget import FULL, Budget, BudgetWindow
from tracker.budgets.property_pairs import describe_pairs

# At the start of a window, a single call would determine the forecast.
_MIN_ELAPSED_SHARE = 0.05


@dataclass(frozen=True, slots=True)
class Spent:
    """The usage of calls; `usd` excludes `unpriced_calls`, whose cost is unknown."""

    tokens: int = 0
    usd: Decimal = Decimal(0)
    unpriced_calls: int = 0

    def __add__(self, other: Spent) -> Spent:
        return Spent(self.tokens + other.tokens, self.usd + other.usd, self.unpriced_calls + other.unpriced_calls)


@dataclass(frozen=True, slots=True)
class BudgetState:
    """A budget in its current window; `spent` covers the window until `at`."""

    budget: Budget
    window: BudgetWindow
    spent: Spent
    at: datetime

    @property
    def used(self) -> Decimal:
        """The used amount in the budget's measure."""
        return Decimal(self.spent.tokens) if self.budget.measure == "tokens" else self.spent.usd

    @property
    def share(self) -> float:
        """The used share of the limit; 1 is the limit."""
        return float(self.used / self.budget.amount)

    @property
    def forecast(self) -> Decimal | None:
        """The amount at the window's end if usage continues at the same rate; None at the start of a window."""
        return forecast_at_pace(self.used, self.window, self.at)

    @property
    def reached(self) -> int | None:
        """The highest reached alert threshold in percent; None if none is reached."""
        # Decimal arithmetic: 80 % of a limit must not become 79.999 %.
        return next((p for p in self.budget.thresholds if self.used * FULL >= self.budget.amount * p), None)

    @property
    def full(self) -> bool:
        """Whether the limit is reached."""
        return self.used >= self.budget.amount


def forecast_at_pace(used: Decimal, window: BudgetWindow, at: datetime) -> Decimal | None:
    """The amount at the window's end if usage continues as until `at`; None at the start of a window."""
    elapsed = window.elapsed_share(at)
    return None if elapsed < _MIN_ELAPSED_SHARE else used / Decimal(elapsed)


def format_amount(value: Decimal, measure: str) -> str:
    """The amount with its unit: 1,200,000 tokens, $12.50."""
    if measure == "tokens":
        return f"{value:,.0f} tokens"
    if 0 < value < Decimal("0.000001"):
        return "< $0.000001"
    return f"${value:,.2f}" if value >= 1 or not value else f"${value:,.6f}".rstrip("0")


def format_percent(share: float) -> str:
    """A share in whole percent, rounded down, so that 100% is displayed only when it is reached."""
    return f"{math.floor(share * 100 + 1e-9):,}%"


def describe_subject(budget: Budget) -> str:
    """The subject of a budget: everybody, or a user, model, operation or properties."""
    if budget.properties:
        return describe_pairs(budget.properties)
    return "everybody" if budget.subject is None else f"{budget.scope} {budget.subject}"


def describe_budget(state: BudgetState) -> str:
    """The progress of a budget in one to three sentences."""
    budget = state.budget
    when = "today" if budget.period == "day" else "this month"
    kind = "Sample budget" if budget.is_sample else "Budget"
    text = (
        f"{kind} {budget.name!r} ({describe_subject(budget)}): {format_amount(state.used, budget.measure)} of"
        f" {format_amount(budget.amount, budget.measure)} {when}, {format_percent(state.share)}."
    )
    if (forecast := state.forecast) is not None and not state.full:
        text += f" At this pace {format_amount(forecast, budget.measure)} by the end of the {budget.period}."
    if budget.measure == "usd" and state.spent.unpriced_calls:
        text += f" {state.spent.unpriced_calls:,} calls have no price and are not included."
    return text
