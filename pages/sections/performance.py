"""The Performance page's verdict, figures and tables."""

from __future__ import annotations

import statistics
from datetime import timedelta
from typing import Any

import pandas as pd
import streamlit as st

from pages.support import recording_status, test_calls
from pages.support.formats import exact, milliseconds, records, seconds, share
from pages.support.i18n import _, plural
from pages.support.message_text import told
from pages.support.ttl_cache import shared
from pages.widgets.time_range import Range
from tracker import Outcome
from tracker.errors import DatabaseError
from tracker.reports import Filters, Reader
from tracker.reports.delivery_lag import LAG_COLUMNS
from tracker.reports.explorer_query import UNKNOWN
from tracker.reports.ledger_report import Ledger, ledger
from tracker.reports.recording_quality import RecordingTotals
from tracker.rollups.rollup_tables import LATE_S

_ROW = 34
_LEDGER_DAYS = 7
_FRESH_S = 20.0


def book_of(reader: Reader, shown: Range) -> Ledger | None:
    """The loss ledger of the range, of its last seven days at most; asked once for all readers of the range."""
    end = shown.filters.end
    start = max(shown.filters.start, end - timedelta(days=_LEDGER_DAYS))
    key = ("ledger", id(reader), shown.name, shown.days, shown.filters.timezone)

    def ask() -> Ledger | None:
        try:
            return ledger(reader, Filters(start=start, end=end))
        except DatabaseError:
            return None

    return shared(key, _FRESH_S, ask)


def verdict(found: RecordingTotals, book: Ledger | None, shown: Range) -> None:
    """The range's recording in one sentence: how many, how many late, how many missing."""
    when = {
        "1h": _("In the last hour"),
        "24h": _("In the last 24 h"),
        "today": _("Today"),
        "7d": _("In the last 7 days"),
        "30d": _("In the last 30 days"),
        "month": _("This month"),
        "all": _("In all time"),
    }.get(shown.name, _("In these days"))
    late = _("{n} late (worst {time})").format(n=exact(found.late_records), time=seconds(found.worst_lag_s))
    parts = [
        _("{n} at once").format(n=exact(found.records - found.late_records)),
        late if found.late_records else _("none late"),
    ]
    if book is not None:
        parts.append(_("**{n} missing**").format(n=exact(book.missing)))
    sentence = _("{when} **{records}**: {parts}.").format(
        when=when, records=records(found.records), parts=", ".join(parts)
    )
    if book is not None and book.missing:
        st.error(sentence, icon=":material/error:")
    elif found.late_records:
        st.warning(sentence, icon=":material/schedule:")
    else:
        st.success(sentence, icon=":material/check_circle:")


def figures(reader: Reader, found: RecordingTotals, main: pd.Series, lag: pd.DataFrame) -> None:
    """Connection time, delivery lag, retries, and what waits on this machine."""
    depth = recording_status.outbox_depth(reader)
    with st.grid(6, min_column_width=140):
        st.metric(
            _("Connection, p50"),
            milliseconds(main["connection_p50_ms"]),
            border=True,
            help=_("Half of the records of the busiest environment had a usable connection in this time"),
        )
        st.metric(
            _("Connection, p95"),
            milliseconds(main["connection_p95_ms"]),
            border=True,
            help=_("19 of 20 records of the busiest environment had one in this time"),
        )
        st.metric(
            _("Delivery, p95"),
            seconds(lag["lag_p95_s"].iloc[0]) if len(lag) else "–",
            border=True,
            help=_("From the end of an AI call to its row in the database: 19 of 20 of the newest records"),
        )
        st.metric(
            _("Retried"),
            share(found.retried_records / found.records),
            border=True,
            help=_("{records} needed {n} attempts after the first").format(
                records=records(found.retried_records), n=exact(found.retries)
            ),
        )
        st.metric(
            _("Late"),
            share(found.late_records / found.records),
            border=True,
            help=_("More than {n} s after the call's end").format(n=LATE_S),
        )
        st.metric(
            _("Outbox here"),
            exact(depth.waiting) if depth else "0",
            border=True,
            help=_("Records that wait on this machine for this database; other hosts have outboxes of their own"),
        )


def environments(quality: pd.DataFrame, lag: pd.DataFrame) -> None:
    """Every environment's figures, the busiest first."""
    more = lag.set_index("environment")[["lag_p50_s", "lag_p95_s", "cold_p50_ms", "warm_p50_ms"]]
    data = quality.join(more, on="environment")
    texts = {
        name: [milliseconds(value) for value in data[name]]
        for name in ("connection_p50_ms", "connection_p95_ms", "connection_p99_ms", "cold_p50_ms", "warm_p50_ms")
    } | {name: [seconds(value) for value in data[name]] for name in ("lag_p50_s", "lag_p95_s", "worst_lag_s")}

    def text(label: str, help_text: str | None = None) -> Any:
        return st.column_config.TextColumn(label, help=help_text, alignment="right")

    config: dict[str, Any] = {
        "environment": st.column_config.TextColumn(_("Environment"), pinned=True),
        "records": st.column_config.NumberColumn(_("Records"), format="localized"),
        "connection_p50_ms": text("p50", _("Time to get a usable connection: half of the records were faster")),
        "connection_p95_ms": text("p95"),
        "connection_p99_ms": text("p99"),
        "cold_p50_ms": text(_("cold p50"), _("Connection time of a process's first record")),
        "warm_p50_ms": text(_("warm p50"), _("Connection time of all its others")),
        "lag_p50_s": text(_("lag p50"), _("From the end of an AI call to its row in the database")),
        "lag_p95_s": text(_("lag p95")),
        "worst_lag_s": text(_("worst lag")),
        "retried_records": st.column_config.NumberColumn(_("Retried"), format="localized"),
        "late_records": st.column_config.NumberColumn(_("Late"), format="localized"),
    }
    _table(data.assign(**texts), config, _("Recording by environment"))


def lateness(lag: pd.DataFrame) -> None:
    """How late the late ones were."""
    total = int(lag["records"].sum())
    labels = (_("1 – 10 s"), _("10 s – 1 min"), _("1 – 10 min"), _("10 min – 1 h"), _("over 1 h"))
    counts = [int(lag[column].sum()) for column in LAG_COLUMNS]
    data = pd.DataFrame({"lag": [_("within 1 s"), *labels], "records": [total - sum(counts), *counts]})
    config = {
        "lag": st.column_config.TextColumn(_("After the call's end")),
        "records": st.column_config.ProgressColumn(
            _("Records"), format="localized", min_value=0, max_value=max(total, 1), color="blue", width=150
        ),
    }
    _table(data, config, _("How late records arrived"))
    ways = ((_("direct"), "direct"), (_("background"), "background"), (_("outbox"), "outbox"))
    st.caption(" · ".join(f"{label} {exact(int(lag[column].sum()))}" for label, column in ways))


def deployments(book: Ledger | None) -> None:
    """The loss ledger by deployment."""
    if book is None:
        st.caption(_("The ledger can't be read now."))
        return
    if book.hidden_reason:
        st.text(told(book.hidden_reason))
    if not book.deployments:
        st.caption(_("No Tracker has numbered a record in these days, so none can be missed."))
        return
    data = pd.DataFrame(
        [
            {
                "deployment": _place(tally.platform, tally.environment, tally.deployment),
                "recorded": tally.recorded,
                "missing": tally.missing,
                "on_the_way": tally.in_flight,
                "waiting": tally.explained["waiting"],
                "explained": sum(tally.explained.values()) - tally.explained["waiting"],
                "open": tally.open_instances,
            }
            for tally in book.deployments
        ],
        columns=["deployment", "recorded", "missing", "on_the_way", "waiting", "explained", "open"],
    )

    def number(label: str, help_text: str | None = None) -> Any:
        return st.column_config.NumberColumn(label, help=help_text, format="localized")

    config = {
        "deployment": st.column_config.TextColumn(_("Deployment"), pinned=True),
        "recorded": number(_("Recorded")),
        "missing": number(_("Missing"), _("Numbers of recording processes that nothing explains")),
        "on_the_way": number(_("On the way")),
        "waiting": number(_("Waiting"), _("In an outbox, as their process said")),
        "explained": number(_("Explained"), _("Duplicates, set aside, removed, pruned")),
        "open": number(_("Open"), _("Processes that never said their last number: what came after isn't known")),
    }
    _table(data, config, _("The loss ledger by deployment"))
    if book.open_instances:
        text = plural(
            "{n} process never closed its Tracker, so its last records aren't known.",
            "{n} processes never closed their Tracker, so their last records aren't known.",
            book.open_instances,
        )
        st.caption(text.format(n=exact(book.open_instances)))


def _place(*parts: str) -> str:
    """What is known of where it runs."""
    return " ".join(part for part in parts if part != UNKNOWN) or _("not known")


def alert_table(found: pd.DataFrame | None, timezone: str) -> None:
    """The alerts that went out."""
    if found is None:
        st.caption(
            _("This role may not see the alerts: GRANT SELECT ON token_tracker_alerts, or token-tracker migrate.")
        )
        return
    if found.empty:
        st.caption(_("None in this range."))
        return
    data = found.assign(at=pd.to_datetime(found["raised_at"], utc=True).dt.tz_convert(timezone))
    config: dict[str, Any] = {
        "at": st.column_config.DatetimeColumn(_("When"), format=_("D MMM YYYY, HH:mm:ss"), width=160),
        "reason": st.column_config.TextColumn(_("Reason")),
        "error": st.column_config.TextColumn(_("What happened"), width=420),
        "environment": st.column_config.TextColumn(_("Environment")),
        "deployment": st.column_config.TextColumn(_("Deployment")),
        "outbox_depth": st.column_config.NumberColumn(_("Outbox")),
        "held_back": st.column_config.NumberColumn(_("Held back"), help=_("Alerts of the same kind just before")),
    }
    _table(data, config, _("Alerts"))


def unread_table(found: pd.DataFrame | None, timezone: str) -> None:
    """What arrived over OpenTelemetry and was not read."""
    if found is None:
        st.caption(
            _("This role may not see these counts: GRANT SELECT ON token_tracker_unread, or token-tracker migrate.")
        )
        return
    if found.empty:
        st.caption(_("All AI calls that arrived over OpenTelemetry were read."))
        return
    if (found["signal"] == "traces").any():
        text = _("Spans that look like AI calls were not understood. These calls are not counted in any figure.")
        st.warning(text, icon=":material/warning:")
    kinds = {"traces": _("AI call spans"), "metrics": _("Exports of metrics"), "logs": _("Exports of logs")}
    data = found.assign(
        kind=found["signal"].map(lambda signal: kinds.get(signal, signal)),
        at=pd.to_datetime(found["last_seen_at"], utc=True).dt.tz_convert(timezone),
    )
    config: dict[str, Any] = {
        "kind": st.column_config.TextColumn(_("What")),
        "scope": st.column_config.TextColumn(_("Instrumentation"), width=320),
        "items": st.column_config.NumberColumn(_("Count"), format="localized"),
        "at": st.column_config.DatetimeColumn(_("Last"), format=_("D MMM YYYY, HH:mm:ss"), width=160),
    }
    _table(data, config, _("Not read from OpenTelemetry"))


def _own_row(what: str, outcomes: list[Outcome]) -> dict[str, Any]:
    connection = statistics.median(outcome.connection_ms or 0.0 for outcome in outcomes)
    write = statistics.median(outcome.write_ms or 0.0 for outcome in outcomes)
    return {"what": what, "n": len(outcomes), "connection": milliseconds(connection), "write": milliseconds(write)}


def own_writes() -> None:
    """What this very process's Tracker measured, at its test recordings."""
    found = test_calls.own_writes()
    if not found:
        st.caption(_("This process has recorded nothing yet. A test recording shows its times here."))
        return
    first, rest = found[0], found[1:]
    rows = [_own_row(_("first (cold)"), [first])]
    if rest:
        rows.append(_own_row(_("all others, median"), rest))
    data = pd.DataFrame(rows)
    config = {
        "what": st.column_config.TextColumn(_("Record")),
        "n": st.column_config.NumberColumn(_("Records"), width=70),
        "connection": st.column_config.TextColumn(_("Connection"), alignment="right"),
        "write": st.column_config.TextColumn(_("Write"), alignment="right"),
    }
    _table(data, config, _("This process's own write times"))


def _table(data: pd.DataFrame, config: dict[str, Any], alt: str) -> None:
    st.dataframe(
        data,
        column_config=config,
        column_order=list(config),
        hide_index=True,
        row_height=_ROW,
        height="content",
        placeholder="–",
        alt=alt,
    )


def no_recordings() -> None:
    """Nothing was recorded here in this range; imported and sample rows don't count."""
    with st.container(border=True, horizontal_alignment="center", gap="small", key="nothing"):
        st.markdown(f"**{_('No recordings in this range')}**", width="content")
        st.caption(
            _("Only calls that a tracker recorded tell how well recording works; imported and sample calls don't."),
            text_alignment="center",
        )
        if st.button(_("Record a test call"), type="primary", icon=":material/science:"):
            st.switch_page("recordings.py")
