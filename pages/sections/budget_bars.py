"""Budgets on the Overview: a bar each, with what this pace leads to."""

from __future__ import annotations

from decimal import Decimal

import streamlit as st

from pages.support.formats import calls, count, exact, seconds, usd
from pages.support.i18n import _, plural
from pages.support.ttl_cache import shared
from pages.widgets.layout import card
from tracker.budgets.progress import BudgetState, format_percent
from tracker.errors import DatabaseError
from tracker.maintenance.check_budgets import read_budget_states
from tracker.reports import Reader

_FRESH_S = 20.0
_MOST = 6
# Each stands out from both themes' backgrounds.
_COLORS = {"within": "#2f7de1", "warned": "#d97706", "full": "#d6404b"}
_HATCH = "repeating-linear-gradient(135deg, {color}b0 0 4px, {color}40 4px 8px)"


def budgets(reader: Reader) -> None:
    """The fullest budgets; nothing where there is none."""
    try:
        found = shared(("budgets", id(reader)), _FRESH_S, lambda: read_budget_states(reader))
    except DatabaseError:
        return  # the figures beside it say what is wrong, if anything is
    if not found.states and not found.remarks:
        return
    with card(_("Budgets"), _("used so far, and at this pace")), st.grid(3, min_column_width=280):
        for state in found.states[:_MOST]:
            _draw(state)
    rest = len(found.states) - _MOST
    if rest > 0:
        text = plural("{n} budget more: token-tracker budget list", "{n} budgets more: token-tracker budget list", rest)
        st.caption(text.format(n=exact(rest)))
    for remark in found.remarks:
        st.text(remark)


def _draw(state: BudgetState) -> None:
    with st.container(gap="xxsmall"):
        with st.container(horizontal=True, horizontal_alignment="distribute", gap="small"):
            st.text(_title(state))  # as text, since it names what the database holds
            st.text(format_percent(state.share), width="content")
        st.html(bar(state))
        st.caption(" ".join(sentences(state)))


def _title(state: BudgetState) -> str:
    budget = state.budget
    whose = {
        "everybody": _("everybody"),
        "user": _("user {name}"),
        "model": _("model {name}"),
        "operation": _("operation {name}"),
    }[budget.scope].format(name=budget.subject)
    return f"{budget.name} · {whose}" if budget.own else whose


def bar(state: BudgetState) -> str:
    """The bar as HTML, made of numbers alone: used, the forecast hatched behind it, and a line where the limit is."""
    forecast = float((state.forecast or state.used) / state.budget.amount)
    scale = max(1.0, state.share, forecast)
    color = _COLORS["full" if state.full else "warned" if state.reached else "within"]
    hatch = _HATCH.format(color=color)
    label = _("{share} used").format(share=format_percent(state.share))
    return (
        f'<div role="img" aria-label="{label}" style="position:relative;height:12px;border-radius:6px;overflow:hidden;'
        'background:#8080802e">'
        f'<div style="position:absolute;inset:0 auto 0 0;width:{forecast / scale:.2%};background:{hatch}"></div>'
        f'<div style="position:absolute;inset:0 auto 0 0;width:{state.share / scale:.2%};background:{color}"></div>'
        f'<div style="position:absolute;inset:0 auto 0 calc({1 / scale:.2%} - 2px);width:2px;background:#8a8f99"></div>'
        "</div>"
    )


def sentences(state: BudgetState) -> list[str]:
    """How it stands and where it leads; figures of ours alone."""
    budget = state.budget
    day = budget.period == "day"
    used, limit = _amount(state.used, state), _amount(budget.amount, state)
    told = [
        (_("{used} of {limit} today.") if day else _("{used} of {limit} this month.")).format(used=used, limit=limit)
    ]
    if state.full:
        left = seconds((state.window.end - state.at).total_seconds())
        told.append(_("Used up; it begins anew in {time}.").format(time=left))
    elif (forecast := state.forecast) is None:
        told.append(_("It is too early to say where this leads."))
    else:
        text = _("At this pace {amount} by the end of the day, {share} of it.")
        if not day:
            text = _("At this pace {amount} by the end of the month, {share} of it.")
        told.append(text.format(amount=_amount(forecast, state), share=format_percent(float(forecast / budget.amount))))
    if budget.measure == "usd" and state.spent.unpriced_calls:
        told.append(_("{calls} without a price aren't in it.").format(calls=calls(state.spent.unpriced_calls)))
    return told


def _amount(value: Decimal, state: BudgetState) -> str:
    if state.budget.measure == "usd":
        return usd(value).replace("$", "\\$")  # two of them would begin a formula
    return _("{n} tokens").format(n=count(float(value)))
