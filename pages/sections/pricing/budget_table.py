"""The table of the budgets: limit, use, pace, and alert."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal

import pandas as pd

from pages.sections.budget_bars import subject_text
from pages.sections.pricing.results import table_key
from pages.support.formats import count, exact, percent_number, percentage, usd
from pages.support.i18n import _
from pages.widgets.tables import (
    TableColumn,
    number_column,
    percent_bar_column,
    right_aligned,
    selectable_table,
    table,
    text_column,
)
from tracker.budgets.budget import Budget
from tracker.budgets.progress import BudgetState

_MAX_VISIBLE_ROWS = 8


def budget_table(states: Sequence[BudgetState], *, selectable: bool) -> BudgetState | None:
    """Draw the budgets, the fullest first. Returns the selected one."""
    data = pd.DataFrame([_row(state) for state in states])
    # One budget far above its limit must not make the bars of the others invisible.
    largest = min(150.0, max(100.0, *(state.share * 100 for state in states)))
    columns: dict[str, TableColumn] = {
        "name": text_column(_("Budget"), 112),
        "share": percent_bar_column(_("Use"), 86, largest),
        "used": right_aligned(_("Used"), width=92),
        "limit": right_aligned(_("Limit"), width=92),
        "pace": right_aligned(_("At this pace"), _("Forecast for the end of the day or month"), 96),
        "period": text_column(_("Period"), 60),
        "scope": text_column(_("Applies to"), 160),
        "alert": right_aligned(_("Alert at"), width=66),
        "unpriced": number_column(
            _("Unpriced calls"), _unpriced_text, 100, _("Calls without a cost, which are not in the used amount")
        ),
        "timezone": text_column(_("Time zone"), 110),
    }
    if not data["unpriced"].any():
        del columns["unpriced"]
    if not selectable:
        table(data, columns, alt=_("Budgets"), max_rows=_MAX_VISIBLE_ROWS)
        return None
    key = table_key("budget_table")
    selected = selectable_table(data, columns, alt=_("Budgets"), key=key, max_rows=_MAX_VISIBLE_ROWS)
    return states[selected] if selected is not None else None


def _unpriced_text(calls: int) -> str:
    return exact(calls) if calls else ""


def _row(state: BudgetState) -> dict[str, object]:
    budget = state.budget
    unpriced = state.spent.unpriced_calls if budget.measure == "usd" else 0
    return {
        "name": _name(budget),
        "share": percent_number(state.share, round_down=True),
        "used": amount_text(state.used, budget.measure),
        "limit": amount_text(budget.amount, budget.measure),
        "period": period_label(budget.period),
        "pace": _("too early") if state.forecast is None else amount_text(state.forecast, budget.measure),
        "scope": scope_text(budget),
        "alert": "–" if budget.alert_percent is None else percentage(budget.alert_percent / 100),
        "unpriced": unpriced,
        "timezone": budget.timezone,
    }


def _name(budget: Budget) -> str:
    if budget.is_sample:
        return f"{budget.name} · {_('sample')}"
    return budget.name if budget.own else _("usage_thresholds of the app")


def amount_text(value: Decimal, measure: str) -> str:
    """An amount with its unit."""
    return usd(value) if measure == "usd" else _("{n} tokens").format(n=count(float(value)))


def period_label(period: str) -> str:
    """The label of a period."""
    return {"day": _("day"), "month": _("month")}[period]


def scope_label(scope: str) -> str:
    """The label of a scope."""
    labels = {"everybody": _("everybody"), "user": _("user"), "model": _("model"), "operation": _("operation")}
    labels["property"] = _("properties")
    return labels[scope]


def scope_text(budget: Budget) -> str:
    """What a budget applies to. Not Markdown, because it contains names from the database."""
    if budget.properties:
        return subject_text(budget.scope, budget.subject)
    return scope_label(budget.scope) if budget.subject is None else f"{scope_label(budget.scope)} {budget.subject}"
