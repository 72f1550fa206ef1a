"""The sections of the Performance page: verdict, metrics, charts, and tables."""

from __future__ import annotations

import statistics
from datetime import timedelta
from typing import Any

import pandas as pd
import streamlit as st

from pages.support import recording_status, test_calls
from pages.support.formats import exact, milliseconds, percent_number, percentage, records, seconds
from pages.support.i18n import _, plural
from pages.support.message_text import translate
from pages.support.ttl_cache import cached, generation
from pages.widgets.empty_state import empty_page, empty_section
from pages.widgets.tables import (
    TableColumn,
    number_column,
    percent_bar_column,
    short_time_column,
    table,
    text_column,
)
from pages.widgets.time_range import TimeRange
from tracker import Outcome
from tracker.errors import DatabaseError
from tracker.messages import Message
from tracker.reports import Filters, Reader
from tracker.reports.delivery_lag import LAG_COLUMNS
from tracker.reports.explorer.explorer_query import UNKNOWN
from tracker.reports.ledger_report import Ledger, ledger
from tracker.reports.recording_quality import RecordingTotals
from tracker.rollups.rollup_tables import LATE_S

_LEDGER_DAYS = 7
_TTL_S = 20.0


def range_ledger(reader: Reader, range_: TimeRange) -> Ledger | None:
    """The loss ledger of the range, at most of its last seven days; None if it can't be read."""
    end = range_.filters.end
    start = max(range_.filters.start, end - timedelta(days=_LEDGER_DAYS))
    key = ("ledger", generation(reader), range_.name, range_.days, range_.filters.timezone)

    def load() -> Ledger | None:
        try:
            return ledger(reader, Filters(start=start, end=end))
        except DatabaseError:
            return None

    return cached(key, _TTL_S, load)


def recording_verdict(verdict: RecordingTotals, loss: Ledger | None, range_: TimeRange) -> None:
    """Draw the numbers of records that are on time, late, and missing in the range."""
    period = {
        "1h": _("In the last hour"),
        "24h": _("In the last 24 h"),
        "today": _("Today"),
        "7d": _("In the last 7 days"),
        "30d": _("In the last 30 days"),
        "month": _("This month"),
        "all": _("All time"),
    }.get(range_.name, _("In the selected days"))
    late = _("{n} late (max {time})").format(n=exact(verdict.late_records), time=seconds(verdict.worst_lag_s))
    parts = [
        _("{n} on time").format(n=exact(verdict.records - verdict.late_records)),
        late if verdict.late_records else _("none late"),
    ]
    if loss is not None:
        parts.append(_("**{n} missing**").format(n=exact(loss.missing)))
    text = _("{when} **{records}**: {parts}.").format(
        when=period, records=records(verdict.records), parts=", ".join(parts)
    )
    if loss is not None and loss.missing:
        st.error(text, icon=":material/error:")
    elif verdict.late_records:
        st.warning(text, icon=":material/schedule:")
    else:
        st.success(text, icon=":material/check_circle:")


def recording_metrics(reader: Reader, verdict: RecordingTotals, busiest: pd.Series, lag: pd.DataFrame) -> None:
    """Draw connection time, delivery lag, retries, late records, and the outbox depth of this machine."""
    depth = recording_status.outbox_depth(reader)
    with st.grid(6, min_column_width=140):
        st.metric(
            _("Connection, p50"),
            milliseconds(busiest["connection_p50_ms"]),
            border=True,
            help=_("50% of the records in the busiest environment got a connection within this time"),
        )
        st.metric(
            _("Connection, p95"),
            milliseconds(busiest["connection_p95_ms"]),
            border=True,
            help=_("95% of the records in the busiest environment got a connection within this time"),
        )
        st.metric(
            _("Delivery, p95"),
            seconds(lag["lag_p95_s"].iloc[0]) if len(lag) else "–",
            border=True,
            help=_("From the end of the AI call to the row in the database, for 95% of the newest records"),
        )
        st.metric(
            _("Retried"),
            percentage(verdict.retried_records / verdict.records),
            border=True,
            help=plural("{records} needed {n} retry", "{records} needed {n} retries", verdict.retries).format(
                records=records(verdict.retried_records), n=exact(verdict.retries)
            ),
        )
        st.metric(
            _("Late"),
            percentage(verdict.late_records / verdict.records),
            border=True,
            help=_("Written more than {n} s after the end of the call").format(n=LATE_S),
        )
        st.metric(
            _("Outbox of this host"),
            exact(depth.waiting) if depth else "0",
            border=True,
            help=_("Records waiting on this host for this database. Other hosts have their own outboxes."),
        )


def environment_table(quality: pd.DataFrame, lag: pd.DataFrame) -> None:
    """Draw connection time, lag, retries, and late records by environment, the busiest first."""
    lag_by_environment = lag.set_index("environment")[["lag_p50_s", "lag_p95_s", "cold_p50_ms", "warm_p50_ms"]]
    data = quality.join(lag_by_environment, on="environment")
    columns = {
        "environment": text_column(_("Environment"), 106),
        "records": number_column(_("Records"), exact, 70),
        "connection_p50_ms": number_column(
            "p50", milliseconds, 74, _("Time to get a connection, for 50% of the records")
        ),
        "connection_p95_ms": number_column("p95", milliseconds, 74),
        "connection_p99_ms": number_column("p99", milliseconds, 74),
        "late_records": number_column(_("Late"), exact, 54),
        "retried_records": number_column(_("Retried"), exact, 70),
        "lag_p50_s": number_column(
            _("lag p50"), seconds, 76, _("From the end of the AI call to the row in the database")
        ),
        "lag_p95_s": number_column(_("lag p95"), seconds, 76),
        "worst_lag_s": number_column(_("max lag"), seconds, 84),
        "cold_p50_ms": number_column(
            _("cold p50"), milliseconds, 80, _("Connection time of the first record of a process")
        ),
        "warm_p50_ms": number_column(_("warm p50"), milliseconds, 84, _("Connection time of the other records")),
    }
    table(data, columns, alt=_("Recording by environment"), placeholder="–")


def delay_table(lag: pd.DataFrame) -> None:
    """Draw the distribution of the delays, and the number of records by delivery."""
    total = int(lag["records"].sum())
    labels = (_("1 – 10 s"), _("10 s – 1 min"), _("1 – 10 min"), _("10 min – 1 h"), _("over 1 h"))
    counts = [int(lag[column].sum()) for column in LAG_COLUMNS]
    data = pd.DataFrame({"lag": [_("within 1 s"), *labels], "records": [total - sum(counts), *counts]})
    data["share"] = [percent_number(number / max(total, 1)) for number in data["records"]]
    columns = {
        "lag": text_column(_("Delay after the call"), 140),
        "records": number_column(_("Records"), exact, 76),
        "share": percent_bar_column(_("Share"), 110),
    }
    table(data, columns, alt=_("Records by delay"), placeholder="–")
    deliveries = ((_("direct"), "direct"), (_("background"), "background"), (_("outbox"), "outbox"))
    st.caption(" · ".join(f"{label} {exact(int(lag[column].sum()))}" for label, column in deliveries))


def ledger_table(loss: Ledger | None) -> None:
    """Draw the loss ledger by deployment."""
    if loss is None:
        empty_section(_("The loss ledger can't be read right now."))
        return
    if loss.hidden_reason:
        st.text(translate(loss.hidden_reason))
    if not loss.deployments:
        empty_section(_("No Tracker assigned sequence numbers in this period, so missing records can't be detected."))
        st.caption(_("Sample data is not part of the loss ledger."))
        return
    data = pd.DataFrame(
        [
            {
                "deployment": _deployment_label(counts.platform, counts.environment, counts.deployment),
                "recorded": counts.recorded,
                "missing": counts.missing,
                "on_the_way": counts.in_flight,
                "waiting": counts.explained["waiting"],
                "explained": sum(counts.explained.values()) - counts.explained["waiting"],
                "open": counts.open_instances,
            }
            for counts in loss.deployments
        ],
        columns=["deployment", "recorded", "missing", "on_the_way", "waiting", "explained", "open"],
    )

    def number(label: str, help_text: str | None = None) -> TableColumn:
        return number_column(label, exact, 72, help_text)

    columns = {
        "deployment": text_column(_("Deployment"), 130),
        "missing": number(_("Missing"), _("Sequence numbers without a row and without an explanation")),
        "recorded": number(_("Recorded")),
        "on_the_way": number(_("In flight")),
        "waiting": number(_("Waiting"), _("In an outbox, as reported by the process")),
        "explained": number(_("Explained"), _("Duplicates, dead letters, removed, pruned")),
        "open": number(
            _("Open"), _("Processes that did not report their last sequence number; later losses are unknown")
        ),
    }
    table(data, columns, alt=_("The loss ledger by deployment"), placeholder="–")
    if loss.open_instances:
        text = plural(
            "{n} process did not close its Tracker, so the loss of its last records can't be detected.",
            "{n} processes did not close their Tracker, so the loss of their last records can't be detected.",
            loss.open_instances,
        )
        st.caption(text.format(n=exact(loss.open_instances)))


def _deployment_label(*parts: str) -> str:
    """The known parts of platform, environment, and deployment."""
    return " ".join(part for part in parts if part != UNKNOWN) or _("unknown")


def alert_table(data: pd.DataFrame | None, timezone: str) -> None:
    """Draw the alerts that were sent."""
    if data is None:
        empty_section(
            _("This role can't read the alerts. Run GRANT SELECT ON token_tracker_alerts, or token-tracker migrate.")
        )
        return
    if data.empty:
        empty_section(_("None in this range."))
        return
    sample_text = translate(Message("recording.sample_outage"))
    data = data.assign(
        at=pd.to_datetime(data["raised_at"], utc=True).dt.tz_convert(timezone),
        error=data["error"].mask(data["is_sample"].astype(bool), sample_text),
    )
    columns = {
        "at": short_time_column(_("When"), 116),
        "error": text_column(_("What happened"), 214),
        "outbox_depth": number_column(_("Outbox"), exact, 70),
        "environment": text_column(_("Environment"), 100),
        "deployment": text_column(_("Deployment"), 110),
        "reason": text_column(_("Reason"), 150),
        "held_back": number_column(_("Suppressed"), exact, 90, _("Earlier alerts of the same kind that were not sent")),
    }
    table(data, columns, alt=_("Alerts"), placeholder="–")


def unread_table(data: pd.DataFrame | None, timezone: str) -> None:
    """Draw the OpenTelemetry spans and exports that could not be read."""
    if data is None:
        empty_section(
            _("This role can't read these counts. Run GRANT SELECT ON token_tracker_unread, or token-tracker migrate.")
        )
        return
    if data.empty:
        empty_section(_("All AI calls received over OpenTelemetry were read."))
        return
    if (data["signal"] == "traces").any():
        text = _("Some spans that look like AI calls could not be read. These calls are not counted.")
        st.warning(text, icon=":material/warning:")
    kinds = {"traces": _("AI call spans"), "metrics": _("Metric exports"), "logs": _("Log exports")}
    data = data.assign(
        kind=data["signal"].map(lambda signal: kinds.get(signal, signal)),
        at=pd.to_datetime(data["last_seen_at"], utc=True).dt.tz_convert(timezone),
    )
    columns = {
        "kind": text_column(_("What"), 130),
        "items": number_column(_("Count"), exact, 70),
        "at": short_time_column(_("Last"), 116),
        "scope": text_column(_("Instrumentation"), 400),
    }
    table(data, columns, alt=_("Not read from OpenTelemetry"), placeholder="–")


def _write_time_row(label: str, outcomes: list[Outcome]) -> dict[str, Any]:
    connection_ms = statistics.median(outcome.connection_ms or 0.0 for outcome in outcomes)
    write_ms = statistics.median(outcome.write_ms or 0.0 for outcome in outcomes)
    return {"label": label, "n": len(outcomes), "connection_ms": connection_ms, "write_ms": write_ms}


def process_write_times() -> None:
    """Draw the write times of this process's test recordings."""
    outcomes = test_calls.measured_outcomes()
    if not outcomes:
        empty_section(_("This process has no recordings yet. Make a test recording to see its write times here."))
        return
    first, rest = outcomes[0], outcomes[1:]
    rows = [_write_time_row(_("first (cold)"), [first])]
    if rest:
        rows.append(_write_time_row(_("all others, median"), rest))
    data = pd.DataFrame(rows)
    columns = {
        "label": text_column(_("Record"), 120),
        "connection_ms": number_column(_("Connection"), milliseconds, 84),
        "write_ms": number_column(_("Write"), milliseconds, 76),
        "n": number_column(_("Records"), exact, 66),
    }
    table(data, columns, alt=_("Write times of this process"), placeholder="–")


def no_recordings() -> None:
    """Draw a notice that no Tracker recorded in this range. Imported rows don't count."""
    with empty_page(_("No recordings in this range")):
        st.caption(
            _("Only calls that a Tracker recorded are shown here, no imported calls."),
            text_alignment="center",
        )
        if st.button(_("Record a test call"), type="primary", icon=":material/science:"):
            st.switch_page("recordings.py")
