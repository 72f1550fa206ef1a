"""The budgets on the Overview: a bar for each, with its usage and forecast."""

from __future__ import annotations

from decimal import Decimal

import streamlit as st

from pages.support.formats import calls, count, exact, seconds, usd
from pages.support.i18n import _, plural
from pages.support.message_text import translate
from pages.support.property_labels import one_line
from pages.support.ttl_cache import cached, forget, generation
from pages.widgets.layout import card
from pages.widgets.live_refresh import computed_at_text
from tracker.budgets.evaluate import BudgetCheck
from tracker.budgets.progress import BudgetState, format_percent
from tracker.budgets.property_pairs import describe_pairs, from_subject
from tracker.errors import DatabaseError
from tracker.maintenance.check_budgets import read_budget_states
from tracker.reports import Reader

_TTL_S = 20.0
_MAX_BUDGETS = 6
# These colors have enough contrast on the background of both themes.
_COLORS = {"within": "#2f7de1", "warned": "#d97706", "full": "#d6404b"}
_ABOVE_COLOR = "#7f1420"
_HATCH = "repeating-linear-gradient(135deg, {color}b0 0 4px, {color}40 4px 8px)"


def budget_report(reader: Reader) -> BudgetCheck:
    """The states of the budgets, cached for all users. Raises `DatabaseError`."""
    return cached(("budgets", generation(reader)), _TTL_S, lambda: read_budget_states(reader))


def forget_budgets(reader: Reader) -> None:
    """Read the states again at the next use, after a change of a budget or of costs."""
    forget(("budgets", generation(reader)))


def budget_bars(reader: Reader) -> None:
    """Draw the budgets with the highest usage; nothing if there are none."""
    try:
        report = budget_report(reader)
    except DatabaseError:
        return  # the metrics of the page show the error
    if not report.states and not report.remarks:
        return
    note = _("usage and forecast")
    if report.states:
        note = f"{note}, {computed_at_text(report.states[0].at)}"
    with card(_("Budgets"), note), st.grid(3, min_column_width=280):
        for state in report.states[:_MAX_BUDGETS]:
            _draw(state)
    hidden = len(report.states) - _MAX_BUDGETS
    if hidden > 0:
        text = plural(
            "{n} more budget on the page Prices and budgets",
            "{n} more budgets on the page Prices and budgets",
            hidden,
        )
        st.caption(text.format(n=exact(hidden)))
    for remark in report.remarks:
        st.text(translate(remark))


def _draw(state: BudgetState) -> None:
    with st.container(gap="xxsmall"):
        with st.container(horizontal=True, horizontal_alignment="distribute", gap="small"):
            st.text(_title(state))  # not Markdown, because it contains names from the database
            st.text(format_percent(state.share), width="content")
        st.html(bar_html(state))
        st.caption(" ".join(budget_texts(state)))


def _title(state: BudgetState) -> str:
    budget = state.budget
    scope = {
        "everybody": _("everybody"),
        "user": _("user {name}"),
        "model": _("model {name}"),
        "operation": _("operation {name}"),
        "property": "{name}",
    }[budget.scope].format(name=subject_text(budget.scope, budget.subject))
    if budget.is_sample:
        scope = f"{scope} · {_('sample')}"
    return f"{budget.name} · {scope}" if budget.own else scope


def subject_text(scope: str, subject: str | None) -> str:
    """The subject of a budget; the pairs of properties as `team = growth`."""
    return one_line(describe_pairs(from_subject(subject or "")), 100) if scope == "property" else subject or ""


def bar_html(state: BudgetState) -> str:
    """The bar as HTML: usage, the hatched forecast, and a mark at the limit. It contains no text from the database.

    Above 100 %, the whole bar is the usage, and the part above the limit is darker.
    """
    forecast = float((state.forecast or state.used) / state.budget.amount)
    scale = max(1.0, state.share, forecast)
    color = _COLORS["full" if state.full else "warned" if state.reached else "within"]
    hatch = _HATCH.format(color=color)
    label = _("{share} used").format(share=format_percent(state.share))
    limit = f"{1 / scale:.2%}"
    above = (
        f'<div style="position:absolute;inset:0 auto 0 {limit};width:{(state.share - 1) / scale:.2%};'
        f'background:{_ABOVE_COLOR}"></div>'
        if state.share > 1
        else ""
    )
    return (
        f'<div role="img" aria-label="{label}" style="position:relative;height:12px;border-radius:6px;overflow:hidden;'
        'background:#8080802e">'
        f'<div style="position:absolute;inset:0 auto 0 0;width:{forecast / scale:.2%};background:{hatch}"></div>'
        f'<div style="position:absolute;inset:0 auto 0 0;width:{state.share / scale:.2%};background:{color}"></div>'
        f"{above}"
        f'<div style="position:absolute;inset:0 auto 0 calc({limit} - 3px);width:3px;background:#161b26;'
        'box-shadow:0 0 0 1px #ffffff"></div>'
        "</div>"
    )


def budget_texts(state: BudgetState) -> list[str]:
    """Usage, forecast, and limit of a budget as Markdown. It contains no text from the database."""
    budget = state.budget
    day = budget.period == "day"
    used, limit = _amount(state.used, state), _amount(budget.amount, state)
    texts = [
        (_("{used} of {limit} today.") if day else _("{used} of {limit} this month.")).format(used=used, limit=limit)
    ]
    if state.full:
        left = seconds((state.window.end - state.at).total_seconds())
        texts.append(_("Over the limit; resets in {time}.").format(time=left))
    elif (forecast := state.forecast) is None:
        texts.append(_("Too early for a forecast."))
    else:
        text = _("At this rate {amount} by the end of the day ({share} of the limit).")
        if not day:
            text = _("At this rate {amount} by the end of the month ({share} of the limit).")
        texts.append(
            text.format(amount=_amount(forecast, state), share=format_percent(float(forecast / budget.amount)))
        )
    if budget.measure == "usd" and state.spent.unpriced_calls:
        texts.append(_("Not included: {calls} without a price.").format(calls=calls(state.spent.unpriced_calls)))
    return texts


def _amount(value: Decimal, state: BudgetState) -> str:
    if state.budget.measure == "usd":
        return usd(value).replace("$", "\\$")  # two dollar signs start a formula in Markdown
    return _("{n} tokens").format(n=count(float(value)))
