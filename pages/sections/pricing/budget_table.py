"""The table of the budgets: limit, use, pace, and alert."""

from __future__ import annotations

import math
from collections.abc import Sequence
from decimal import Decimal

import pandas as pd
import streamlit as st

from pages.sections.budget_bars import subject_text
from pages.sections.pricing.results import table_key
from pages.support.formats import count, exact, usd
from pages.support.i18n import _
from pages.widgets.tables import right_aligned, selectable_table, table
from tracker.budgets.budget import Budget
from tracker.budgets.progress import BudgetState

_MAX_VISIBLE_ROWS = 8


def budget_table(states: Sequence[BudgetState], *, selectable: bool) -> BudgetState | None:
    """Draw the budgets, the fullest first. Returns the selected one."""
    data = pd.DataFrame([_row(state) for state in states])
    # One budget far above its limit must not make the bars of the others invisible.
    largest = min(150.0, max(100.0, *(state.share * 100 for state in states)))
    config = {
        "name": st.column_config.TextColumn(_("Budget"), width=130, pinned=True),
        "share": st.column_config.ProgressColumn(_("Use"), format="%.0f%%", min_value=0, max_value=largest, width=100),
        "used": right_aligned(_("Used"), width=90),
        "limit": right_aligned(_("Limit"), width=90),
        "period": st.column_config.TextColumn(_("Period"), width=70),
        "pace": right_aligned(_("At this pace"), _("Forecast for the end of the day or month"), 110),
        "scope": st.column_config.TextColumn(_("Applies to"), width=130),
        "alert": right_aligned(_("Alert at"), width=70),
        "unpriced": right_aligned(
            _("Unpriced calls"), _("Calls without a cost, which are not in the used amount"), 100
        ),
        "timezone": st.column_config.TextColumn(_("Time zone"), width=100),
    }
    if not data["unpriced"].astype(bool).any():
        del config["unpriced"]
    if not selectable:
        table(data, config, alt=_("Budgets"), max_rows=_MAX_VISIBLE_ROWS)
        return None
    key = table_key("budget_table")
    selected = selectable_table(data, config, alt=_("Budgets"), key=key, max_rows=_MAX_VISIBLE_ROWS)
    return states[selected] if selected is not None else None


def _row(state: BudgetState) -> dict[str, object]:
    budget = state.budget
    unpriced = state.spent.unpriced_calls if budget.measure == "usd" else 0
    return {
        "name": _name(budget),
        "share": float(math.floor(state.share * 100 + 1e-9)),  # 100 only when the limit is reached
        "used": amount_text(state.used, budget.measure),
        "limit": amount_text(budget.amount, budget.measure),
        "period": period_label(budget.period),
        "pace": _("too early") if state.forecast is None else amount_text(state.forecast, budget.measure),
        "scope": scope_text(budget),
        "alert": "–" if budget.alert_percent is None else f"{budget.alert_percent}%",
        "unpriced": exact(unpriced) if unpriced else "",
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
