"""The table of the latest changes of prices and budgets: when, who, what, and both values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

import pandas as pd
import streamlit as st

from pages.sections.budget_bars import subject_text
from pages.sections.pricing.budget_table import period_label, scope_label
from pages.sections.pricing.price_table import kind_label, rate_text
from pages.support.formats import short_date
from pages.support.i18n import _
from pages.widgets.tables import table
from tracker import settings
from tracker.audit.change_log import Editor, SettingChange
from tracker.prices.custom_prices import RATES

_MAX_VISIBLE_ROWS = 8


def change_table(changes: Sequence[SettingChange], timezone: str) -> None:
    """Draw the changes, the newest first."""
    zone = settings.load_time_zone(timezone)
    rows = []
    for change in changes:
        at = change.changed_at.astimezone(zone) if change.changed_at else None
        rows.append(
            {
                "at": f"{short_date(at)}, {at:%H:%M}" if at else "",
                "who": editor_text(change.editor),
                "kind": _kind_text(change),
                "subject": change.subject,
                "old": values_text(change.kind, change.old),
                "new": values_text(change.kind, change.new),
            }
        )
    config = {
        "at": st.column_config.TextColumn(_("When"), width=130),
        "who": st.column_config.TextColumn(_("Who"), width=180),
        "kind": st.column_config.TextColumn(_("Change"), width=130),
        "subject": st.column_config.TextColumn(_("Model or budget"), width=130),
        "old": st.column_config.TextColumn(_("Before"), width=170),
        "new": st.column_config.TextColumn(_("After")),
    }
    table(pd.DataFrame(rows), config, alt=_("Changes of prices and budgets"), max_rows=_MAX_VISIBLE_ROWS)


def editor_text(editor: Editor) -> str:
    """Who made a change. Not Markdown, because it contains a name from the sign-in."""
    labels = {
        "login": _("signed in"),
        "password": _("shared password"),
        "local": _("this machine, not signed in"),
        "open": _("not signed in"),
        "command line": _("command line"),
    }
    return editor.name or labels.get(editor.access, editor.access)


def _kind_text(change: SettingChange) -> str:
    if change.kind == "past calls":
        return _("Past calls priced")
    is_price = change.kind == "price"
    if change.new is None:
        return _("Price removed") if is_price else _("Budget removed")
    if change.old is None:
        return _("Price set") if is_price else _("Budget added")
    return _("Price changed") if is_price else _("Budget changed")


def values_text(kind: str, values: Mapping[str, Any] | None) -> str:
    """The values of a change in one line. Not Markdown, because it contains names from the database."""
    if values is None:
        return "–"
    try:
        parts = _budget_parts(values) if kind == "budget" else _price_parts(values)
    except (KeyError, ArithmeticError):  # another version stored other values
        parts = [f"{name} {value}" for name, value in values.items()]
    return " · ".join(parts)


def _budget_parts(values: Mapping[str, str]) -> list[str]:
    scope = f"{scope_label(values['scope'])} {subject_text(values['scope'], values.get('subject'))}".strip()
    limit = Decimal(values["amount"])
    amount = rate_text(limit) if values["measure"] == "usd" else _("{n} tokens").format(n=f"{limit:,f}")
    alert = _("alert at {n}%").format(n=values["alert_percent"]) if "alert_percent" in values else ""
    return [part for part in (amount, period_label(values["period"]), scope, alert, values["timezone"]) if part]


def _price_parts(values: Mapping[str, str]) -> list[str]:
    labels = {
        **{kind: kind_label(kind) for kind in RATES},
        "same_as": _("same as"),
        "same_provider": _("provider"),
        "provider": _("for provider"),
        "service_tier": _("tier"),
        "from": _("from"),
        "calls": _("calls"),
        "cost_before": _("cost before"),
        "cost_after": _("cost after"),
    }
    amounts = {*RATES, "cost_before", "cost_after"}
    return [
        f"{label} {rate_text(Decimal(values[name])) if name in amounts else values[name]}"
        for name, label in labels.items()
        if name in values
    ]
