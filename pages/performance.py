"""The Performance page: connection times, delivery lag, retries, and losses of recording."""

from __future__ import annotations

from typing import Any

import streamlit as st

from pages.sections.performance import (
    alert_table,
    delay_table,
    environment_table,
    ledger_table,
    no_recordings,
    process_write_times,
    range_ledger,
    recording_metrics,
    recording_verdict,
    unread_table,
)
from pages.support.i18n import _
from pages.widgets.charts import lines
from pages.widgets.deployment_marks import deployment_marks
from pages.widgets.empty_state import range_sample_notice
from pages.widgets.layout import card, current_range, freshness_notes, page_header, page_question
from pages.widgets.live_refresh import auto_refresh, loading_skeleton
from tracker.reports import Filters, Reader, recording_quality
from tracker.reports.delivery_lag import alerts, lag_by_environment
from tracker.reports.engine import current_reader
from tracker.reports.time_buckets import bucket_labels
from tracker.reports.unread_spans import unread

_REFRESH_S = 15


def main() -> None:
    page_header(_("Performance"), current_reader.reader())
    auto_refresh(draw_page, _REFRESH_S, "performance")


def draw_page() -> None:
    reader = current_reader.reader()
    with reader.pin_rollup_state():
        _draw(reader)


def _draw(reader: Reader) -> None:
    range_ = current_range(reader)
    filters = range_.filters
    page_question(_("Does recording work, and how long do callers wait?"))
    with loading_skeleton(metrics=6):
        quality = recording_quality.by_environment(reader, filters)
        verdict = recording_quality.totals(quality)
    if not verdict.records:
        no_recordings()
        _draw_unread(reader, filters)
        return
    range_sample_notice(reader, range_)
    loss = range_ledger(reader, range_)
    lag = lag_by_environment(reader, filters)
    recording_verdict(verdict, loss, range_)
    recording_metrics(reader, verdict, quality.iloc[0], lag)
    over_time = recording_quality.connection_time(reader, filters).rename(
        columns={"bucket": "at", "environment": "name"}
    )
    axis: dict[str, Any] = {
        "buckets": bucket_labels(filters),
        "bucket": filters.bucket,
        "marks": deployment_marks(reader, range_),
    }
    left, right = st.columns(2)
    with left, card(_("Connection time, p95"), _("by environment")):
        lines(over_time, "connection_p95_ms", number="ms", label="p95", alt=_("Connection time p95 over time"), **axis)
    with right, card(_("Retries"), _("by environment")):
        lines(over_time, "retries", number="count", label=_("Retries"), alt=_("Retries over time"), **axis)
    with card(_("Environments"), _("connection time, and lag from the call to the row")):
        environment_table(quality, lag)
    left, right = st.columns([3, 2])
    with left, card(_("Loss ledger"), _("by deployment, at most seven days")):
        ledger_table(loss)
    with right, card(_("Delay"), _("the newest 20,000 records")):
        delay_table(lag)
    left, right = st.columns([3, 2])
    with left, card(_("Alerts")):
        alert_table(alerts(reader, filters), filters.timezone)
    with right, card(_("This process")):
        process_write_times()
    _draw_unread(reader, filters)
    freshness_notes(reader, filters.start)


def _draw_unread(reader: Reader, filters: Filters) -> None:
    with card(_("Unreadable"), _("received over OpenTelemetry, total")):
        unread_table(unread(reader), filters.timezone)


main()
