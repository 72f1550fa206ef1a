"""The Overview page: usage, cost, anomalies, and budgets."""

from __future__ import annotations

from functools import partial
from typing import Any

import pandas as pd
import streamlit as st

from pages.sections.anomalies import today_anomaly
from pages.sections.budget_bars import budget_bars
from pages.sections.cost_outlook import cost_outlook
from pages.sections.explorer_links import open_bar, open_heat_cell
from pages.sections.overview import (
    UserCounts,
    model_table,
    operation_table,
    record_table,
    tokens_by_switch,
    tokens_chart,
    usage_metrics,
    user_table,
)
from pages.sections.unpriced import unpriced_notice
from pages.support.i18n import _
from pages.support.ttl_cache import cached, cached_as_of, generation
from pages.widgets.charts import heat, stacked
from pages.widgets.deployment_marks import deployment_marks
from pages.widgets.empty_state import empty_section, no_calls, sample_notice
from pages.widgets.layout import card, current_range, freshness_notes, page_header, page_question
from pages.widgets.live_refresh import auto_refresh, computed_at_text, loading_skeleton
from pages.widgets.time_range import TimeRange, now
from tracker.reports import Reader, usage_totals
from tracker.reports.engine import current_reader
from tracker.reports.hour_heatmap import by_hour_and_weekday
from tracker.reports.time_buckets import bucket_labels
from tracker.reports.unpriced_usage import unpriced_calls

_REFRESH_S = 15
_HEATMAP_TTL_S = 300.0
_USERS_TTL_S = 60.0


def main() -> None:
    page_header(_("Overview"), current_reader.reader())
    auto_refresh(draw_page, _REFRESH_S, "overview")


def draw_page() -> None:
    reader = current_reader.reader()
    with reader.pin_rollup_state():
        _draw(reader)


def _draw(reader: Reader) -> None:
    range_ = current_range(reader)
    filters = range_.filters
    page_question(_("How much was used, and what did it cost?"))
    with loading_skeleton(metrics=5):
        totals = usage_totals.totals(reader, filters)
        previous = usage_totals.totals(reader, range_.previous) if range_.previous and totals.calls else None
        models = usage_totals.by_model_over_time(reader, filters) if totals.calls else pd.DataFrame()
    if not totals.calls:
        no_calls(reader)
        return
    sample_notice(reader, totals.sample_calls, totals.calls)
    users = _user_counts(reader, range_)
    usage_metrics(totals, previous, users, usage_totals.trend(reader, filters), range_)
    cost_outlook(reader, range_)
    unpriced_notice(totals, models, unpriced_calls(reader, filters))
    today_anomaly(reader, filters)
    budget_bars(reader)
    over_time = models.rename(columns={"bucket": "at", "model": "name"})
    bucket = filters.bucket
    chart_options: dict[str, Any] = {
        "names": list(models.groupby("model")["total_tokens"].sum().sort_values(ascending=False).index),
        "buckets": bucket_labels(filters),
        "bucket": bucket,
        "now": pd.Timestamp(now().replace(tzinfo=None)),
        "edges": (filters.start, filters.end) if range_.name != "all" else None,
        "marks": deployment_marks(reader, range_),
    }
    left, right = st.columns(2)
    with left, card(_("Tokens"), step_label(bucket), tokens_by_switch):
        tokens_chart(over_time, chart_options)
    with right, card(_("Cost by model"), _("{step}, US dollars").format(step=step_label(bucket))):
        priced = over_time.dropna(subset=["cost_usd"])
        if len(priced):
            stacked(
                priced,
                "cost_usd",
                number="usd",
                label=_("Cost"),
                alt=_("Cost over time by model"),
                on_click=lambda clicked: open_bar(clicked, bucket, "cost_usd"),
                **chart_options,
            )
        else:
            empty_section(_("No call in this range has a price."))
    left, right = st.columns(2)
    with left, card(_("Models")):
        model_table(models)
    with right, card(_("Operations")):
        operation_table(usage_totals.by_operation(reader, filters, count=6), totals.total_tokens)
    left, right = st.columns(2)
    with left, card(_("Top users")):
        user_table(usage_totals.top_users(reader, filters, count=6))
    key = ("heatmap", generation(reader), range_.cache_key)
    heatmap, at = cached_as_of(key, _HEATMAP_TTL_S, lambda: by_hour_and_weekday(reader, filters))
    with right, card(_("When"), f"{_('calls by hour and weekday')}, {computed_at_text(at)}"):
        alt = _("Calls by hour and weekday")
        heat(heatmap, "calls", label=_("Calls"), alt=alt, on_click=open_heat_cell)
    with card(_("Last records")):
        record_table(usage_totals.last_records(reader, filters, count=12))
    freshness_notes(reader, filters.start)


def _user_counts(reader: Reader, range_: TimeRange) -> UserCounts:
    """The users of the range. What changes slowly and takes long is counted once a minute for all readers."""
    filters, previous = range_.filters, range_.previous
    # To the minute: a range of hours starts later at each refresh.
    key = (generation(reader), range_.cache_key, filters.start.replace(second=0, microsecond=0))
    before = over_time = None
    if previous:
        before = cached(("users before", *key), _USERS_TTL_S, lambda: usage_totals.users(reader, previous))
    # The trend has no incomplete bucket: a bucket of a day or more doesn't change within a minute.
    if filters.bucket in {"day", "week", "month"}:
        load = partial(usage_totals.users_over_time, reader, filters)
        over_time = cached(("users over time", *key), _USERS_TTL_S, load)
    return UserCounts(
        usage_totals.users(reader, filters),
        before,
        usage_totals.users_over_time(reader, filters) if over_time is None else over_time,
        cached(("anonymous", *key), _USERS_TTL_S, lambda: usage_totals.has_anonymous(reader, filters)),
    )


def step_label(bucket: str) -> str:
    """The label of a chart's time step."""
    labels = {
        "minute": _("by minute"),
        "hour": _("by hour"),
        "day": _("by day"),
        "week": _("by week"),
        "month": _("by month"),
    }
    return labels[bucket]


main()
