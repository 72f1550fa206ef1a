"""The Latency and errors page: durations, time to the first token, output speed, and errors of the AI calls."""

from __future__ import annotations

from typing import Any

import pandas as pd
import streamlit as st

from pages.sections.call_errors import error_table, failed_calls_chart, failure_table
from pages.sections.call_latency import CallSpeed, first_token_chart, latency_metrics, model_latency_table, read_speed
from pages.support.i18n import _
from pages.support.ttl_cache import cached, generation
from pages.widgets.charts import lines
from pages.widgets.deployment_marks import deployment_marks
from pages.widgets.empty_state import empty_section, no_calls, sample_notice
from pages.widgets.layout import card, current_range, freshness_notes, page_header, page_question
from pages.widgets.live_refresh import auto_refresh, loading_skeleton
from pages.widgets.time_range import TimeRange, now
from tracker.errors import DatabaseError
from tracker.reports import Filters, Reader, latency, usage_totals
from tracker.reports.ai_calls import call_errors
from tracker.reports.engine import current_reader
from tracker.reports.time_buckets import bucket_labels

_REFRESH_S = 15
_TTL_S = 30.0
"""Reports that read all rows of the range are at most this old."""


def main() -> None:
    page_header(_("Latency and errors"), current_reader.reader())
    auto_refresh(draw_page, _REFRESH_S, "latency")


def draw_page() -> None:
    reader = current_reader.reader()
    with reader.pin_rollup_state():
        _draw(reader)


def _draw(reader: Reader) -> None:
    range_ = current_range(reader)
    filters = range_.filters
    page_question(_("How fast do AI calls respond, and which calls fail?"))
    with loading_skeleton(metrics=6):
        totals = usage_totals.totals(reader, filters)
        overall = latency.overall(reader, filters)
    if not totals.calls:
        no_calls(reader)
        return
    sample_notice(reader, totals.sample_calls, totals.calls)
    speed = cached(("call_speed", generation(reader), range_.cache_key), _TTL_S, lambda: read_speed(reader, filters))
    axis: dict[str, Any] = {
        "buckets": bucket_labels(filters),
        "bucket": filters.bucket,
        "marks": deployment_marks(reader, range_),
    }
    latency_metrics(overall, speed, totals)
    _draw_charts(reader, filters, speed, axis)
    with card(_("Models"), _("duration, time to first token, and speed")):
        model_latency_table(latency.by_model(reader, filters), speed)
    _draw_errors(reader, range_, totals.failed_calls, axis)
    freshness_notes(reader, filters.start)


def _draw_charts(reader: Reader, filters: Filters, speed: CallSpeed, axis: dict[str, Any]) -> None:
    left, right = st.columns(2)
    with left, card(_("Duration"), _("of the calls, percentiles")):
        over_time = latency.over_time(reader, filters).rename(columns={"bucket": "at"})
        if over_time.empty:
            empty_section(_("No call in this range has a duration."))
        else:
            named = {"latency_p50_ms": "p50", "latency_p95_ms": "p95", "latency_p99_ms": "p99"}
            data = over_time.melt("at", list(named), "name", "ms").replace({"name": named})
            lines(data, "ms", number="ms", label=_("Duration"), alt=_("Duration of the calls over time"), **axis)
    with right, card(_("Time to first token"), _("of streams, percentiles")):
        first_token_chart(reader, speed, axis)


def _draw_errors(reader: Reader, range_: TimeRange, failed_calls: int, axis: dict[str, Any]) -> None:
    filters = range_.filters
    if not failed_calls:
        with card(_("Errors")):
            empty_section(_("No call in this range failed."))
        return
    left, right = st.columns(2)
    with left, card(_("Failed calls"), _("by model")):
        edges = (filters.start, filters.end) if range_.name != "all" else None
        options = {**axis, "now": pd.Timestamp(now().replace(tzinfo=None)), "edges": edges}
        failed_calls_chart(call_errors.failed_calls_over_time(reader, filters), options)
    with right, card(_("Error rate"), _("by model and operation")):
        failure_table(call_errors.failed_calls_by_model_and_operation(reader, filters))
    with card(_("Errors"), _("grouped by message without numbers, ids and quoted values; newest first")):
        key = ("call_errors", generation(reader), range_.cache_key)
        try:
            groups = cached(key, _TTL_S, lambda: call_errors.error_groups(reader, filters))
        except DatabaseError as error:
            if error.code != "statement_timeout":
                raise
            empty_section(_("The range has too many calls for this figure. Select a shorter range."))
        else:
            error_table(groups, filters.timezone)


main()
