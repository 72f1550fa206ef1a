"""Overview: what did we use, what did it cost, is anything odd?"""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pandas as pd
import streamlit as st

from pages.sections.anomalies import unusual_today
from pages.sections.budget_bars import budgets
from pages.sections.overview import Users, by_model, by_operation, figures, last_records, tokens, tokens_by, top_users
from pages.sections.unpriced import unpriced
from pages.support.i18n import _
from pages.support.ttl_cache import shared as kept
from pages.widgets.charts import heat, stacked
from pages.widgets.empty_state import nothing, sample_notice
from pages.widgets.layout import card, head, question, shown, standing_notes
from pages.widgets.live_refresh import live, waiting
from pages.widgets.time_range import now
from tracker.reports import Reader, usage_totals
from tracker.reports.engine import current_reader
from tracker.reports.engine.frames import every_bucket
from tracker.reports.hour_heatmap import by_hour_and_weekday
from tracker.reports.unpriced_usage import unpriced_calls

_EVERY_S = 15
_HOURS_FRESH_S = 300.0
_ANONYMOUS_FRESH_S = 60.0
_SAME = datetime(2000, 1, 1, tzinfo=UTC)  # the range is in its name


def main() -> None:
    head(_("Overview"), current_reader.reader())
    live(draw, _EVERY_S, "overview")


def draw() -> None:
    reader = current_reader.reader()
    with reader.one_moment():
        _draw(reader)


def _draw(reader: Reader) -> None:
    found = shown(reader)
    filters = found.filters
    question(_("What did we use, what did it cost?"))
    with waiting(figures=5):
        totals = usage_totals.totals(reader, filters)
        before = usage_totals.totals(reader, found.before) if found.before and totals.calls else None
        models = usage_totals.by_model_over_time(reader, filters) if totals.calls else pd.DataFrame()
    if not totals.calls:
        nothing(reader)
        return
    sample_notice(reader, totals.sample_calls, totals.calls)
    anonymous = kept(
        ("anonymous", id(reader), found.name, found.days, replace(filters, start=_SAME, end=_SAME)),
        _ANONYMOUS_FRESH_S,
        lambda: usage_totals.has_anonymous(reader, filters),
    )
    users = Users(
        usage_totals.users(reader, filters),
        usage_totals.users(reader, found.before) if found.before else None,
        usage_totals.users_over_time(reader, filters),
        anonymous,
    )
    figures(totals, before, users, usage_totals.trend(reader, filters), found)
    unpriced(totals, models, unpriced_calls(reader, filters))
    unusual_today(reader, filters)
    budgets(reader)
    over_time = models.rename(columns={"bucket": "at", "model": "name"})
    bucket = filters.bucket
    shared: dict[str, Any] = {
        "names": list(models.groupby("model")["total_tokens"].sum().sort_values(ascending=False).index),
        "buckets": every_bucket(filters),
        "bucket": bucket,
        "now": pd.Timestamp(now().replace(tzinfo=None)),
        "edges": (filters.start, filters.end) if found.name != "all" else None,
    }
    left, right = st.columns(2)
    with left, card(_("Tokens"), by(bucket), tokens_by):
        tokens(over_time, shared)
    with right, card(_("Cost by model"), _("{step}, US dollars").format(step=by(bucket))):
        priced = over_time.dropna(subset=["cost_usd"])
        if len(priced):
            stacked(priced, "cost_usd", number="usd", label=_("Cost"), alt=_("Cost over time by model"), **shared)
        else:
            st.caption(_("No call in this range has a price."))
    left, right = st.columns(2)
    with left, card(_("Models")):
        by_model(models)
    with right, card(_("Operations")):
        by_operation(usage_totals.by_operation(reader, filters, count=6), totals.total_tokens)
    left, right = st.columns(2)
    with left, card(_("Top users")):
        top_users(usage_totals.top_users(reader, filters, count=6))
    with right, card(_("When"), _("calls by hour and weekday")):
        key = ("hours", id(reader), found.name, replace(filters, start=_SAME, end=_SAME), found.days)
        hours = kept(key, _HOURS_FRESH_S, lambda: by_hour_and_weekday(reader, filters))
        heat(hours, "calls", label=_("Calls"), alt=_("Calls by hour and weekday"))
    with card(_("Last records")):
        last_records(usage_totals.last_records(reader, filters, count=12), filters.timezone)
    standing_notes(reader, filters.start)


def by(bucket: str) -> str:
    """The step of a chart, in words."""
    words = {
        "minute": _("by minute"),
        "hour": _("by hour"),
        "day": _("by day"),
        "week": _("by week"),
        "month": _("by month"),
    }
    return words[bucket]


main()
