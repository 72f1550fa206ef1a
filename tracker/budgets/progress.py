"""How a budget stands: what was used of it, and where this pace leads."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from tracker.budgets.budget import FULL, Budget, Window

# In a window's first part a single call decides what its end would be.
_TOO_EARLY = 0.05


@dataclass(frozen=True, slots=True)
class Spent:
    """What calls used; `unpriced_calls` of them aren't in `usd`, since nobody knows their cost."""

    tokens: int = 0
    usd: Decimal = Decimal(0)
    unpriced_calls: int = 0

    def __add__(self, other: Spent) -> Spent:
        return Spent(self.tokens + other.tokens, self.usd + other.usd, self.unpriced_calls + other.unpriced_calls)


@dataclass(frozen=True, slots=True)
class BudgetState:
    """A budget in its present window at `at`. `spent` covers the window until then."""

    budget: Budget
    window: Window
    spent: Spent
    at: datetime

    @property
    def used(self) -> Decimal:
        """In the budget's own measure."""
        return Decimal(self.spent.tokens) if self.budget.measure == "tokens" else self.spent.usd

    @property
    def share(self) -> float:
        """What is used of the limit; 1 is all of it."""
        return float(self.used / self.budget.amount)

    @property
    def forecast(self) -> Decimal | None:
        """What will be used by the window's end at the window's pace so far; None while that is too early to say."""
        passed = self.window.passed(self.at)
        return None if passed < _TOO_EARLY else self.used / Decimal(passed)

    @property
    def reached(self) -> int | None:
        """The highest per cent at which an alert goes out and that is reached."""
        # Compared exactly: 80 % of a limit is 80 % of it, not 79.999.
        return next((p for p in self.budget.thresholds if self.used * FULL >= self.budget.amount * p), None)

    @property
    def full(self) -> bool:
        """Whether the limit is reached."""
        return self.used >= self.budget.amount


def format_amount(value: Decimal, measure: str) -> str:
    """A figure as a sentence has it: 1,200,000 tokens, $12.50."""
    if measure == "tokens":
        return f"{value:,.0f} tokens"
    return f"${value:,.2f}" if value >= 1 or not value else f"${value:,.6f}".rstrip("0")


def format_percent(share: float) -> str:
    """A share in whole per cent, rounded down: what isn't reached must not look as if it were."""
    return f"{math.floor(share * 100 + 1e-9):,} %"


def whose(budget: Budget) -> str:
    """For whom a budget is, in words."""
    return "everybody" if budget.subject is None else f"{budget.scope} {budget.subject}"


def describe_budget(state: BudgetState) -> str:
    """How it stands, in one sentence or two."""
    budget = state.budget
    when = "today" if budget.period == "day" else "this month"
    told = (
        f"Budget {budget.name!r} ({whose(budget)}): {format_amount(state.used, budget.measure)} of"
        f" {format_amount(budget.amount, budget.measure)} {when}, {format_percent(state.share)}."
    )
    if (forecast := state.forecast) is not None and not state.full:
        told += f" At this pace {format_amount(forecast, budget.measure)} by the end of the {budget.period}."
    if budget.measure == "usd" and state.spent.unpriced_calls:
        told += f" {state.spent.unpriced_calls:,} calls have no price and aren't in it."
    return told
