"""Performance: does recording itself work, and what does it cost the caller?"""

from __future__ import annotations

from typing import Any

import streamlit as st

from pages.sections.performance import (
    alert_table,
    book_of,
    deployments,
    environments,
    figures,
    lateness,
    no_recordings,
    own_writes,
    unread_table,
    verdict,
)
from pages.support.i18n import _
from pages.widgets.charts import lines
from pages.widgets.layout import card, head, question, shown, standing_notes
from pages.widgets.live_refresh import live, waiting
from tracker.reports import Filters, Reader, recording_quality
from tracker.reports.delivery_lag import alerts, lag_by_environment
from tracker.reports.engine import current_reader
from tracker.reports.time_buckets import bucket_labels
from tracker.reports.unread_spans import unread

_EVERY_S = 15


def main() -> None:
    head(_("Performance"), current_reader.reader())
    live(draw, _EVERY_S, "performance")


def draw() -> None:
    reader = current_reader.reader()
    with reader.pin_rollup_state():
        _draw(reader)


def _draw(reader: Reader) -> None:
    range_ = shown(reader)
    filters = range_.filters
    question(_("Does recording itself work, and what does it cost the caller?"))
    with waiting(figures=6):
        quality = recording_quality.by_environment(reader, filters)
        found = recording_quality.totals(quality)
    if not found.records:
        no_recordings()
        _draw_unread(reader, filters)
        return
    book = book_of(reader, range_)
    lag = lag_by_environment(reader, filters)
    verdict(found, book, range_)
    figures(reader, found, quality.iloc[0], lag)
    over_time = recording_quality.connection_time(reader, filters).rename(
        columns={"bucket": "at", "environment": "name"}
    )
    axis: dict[str, Any] = {"buckets": bucket_labels(filters), "bucket": filters.bucket}
    left, right = st.columns(2)
    with left, card(_("Connection time, p95"), _("by environment")):
        lines(over_time, "connection_p95_ms", number="ms", label="p95", alt=_("Connection time p95 over time"), **axis)
    with right, card(_("Retries"), _("by environment")):
        lines(over_time, "retries", number="count", label=_("Retries"), alt=_("Retries over time"), **axis)
    with card(_("Environments"), _("connection time, and lag from the call to its row")):
        environments(quality, lag)
    left, right = st.columns([3, 2])
    with left, card(_("Loss ledger"), _("by deployment, seven days at most")):
        deployments(book)
    with right, card(_("How late"), _("the newest 20,000 records")):
        lateness(lag)
    left, right = st.columns([3, 2])
    with left, card(_("Alerts")):
        alert_table(alerts(reader, filters), filters.timezone)
    with right, card(_("This process")):
        own_writes()
    _draw_unread(reader, filters)
    standing_notes(reader, filters.start)


def _draw_unread(reader: Reader, filters: Filters) -> None:
    with card(_("Not read"), _("arrived over OpenTelemetry, since the first one")):
        unread_table(unread(reader), filters.timezone)


main()
