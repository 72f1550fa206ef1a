"""The sections of the Test recordings page: the steps of one recording, and the load test."""

from __future__ import annotations

from collections.abc import Iterator

import streamlit as st

from pages.support.ai_call import GEMINI_NOTE, SYNTHETIC_NOTE
from pages.support.burst import Burst
from pages.support.formats import exact, milliseconds, records, seconds, to_json_value
from pages.support.i18n import _, plural
from pages.support.message_text import translate
from pages.support.test_calls import STORED, RecordedCall
from pages.widgets.charts import duration_histogram
from tracker import Outcome
from tracker.errors import DatabaseError
from tracker.reports import Reader, usage_totals

Row = dict[str, object] | str | None
"""The row of a record, the reason why it can't be read, or None."""
_STATUS_STYLE = {
    "recorded": ("green", ":material/check_circle:"),
    "duplicate": ("blue", ":material/content_copy:"),
    "queued": ("orange", ":material/schedule:"),
    "delivered": ("green", ":material/check_circle:"),
    "failed": ("red", ":material/error:"),
}


def status_name(status: str) -> str:
    """The label of an outcome's status; *delivered* is a queued record that the table contains now."""
    labels = {
        "recorded": _("recorded"),
        "duplicate": _("duplicate"),
        "queued": _("queued"),
        "delivered": _("queued, then delivered"),
        "failed": _("failed"),
    }
    return labels[status]


def status_meaning(status: str) -> str:
    """The description of an outcome's status."""
    descriptions = {
        "recorded": _("The record is committed in Postgres."),
        "duplicate": _("The record already exists and was not stored again."),
        "queued": _("The record is in the local outbox and is delivered automatically."),
        "delivered": _("The record was in the local outbox and is now committed in Postgres."),
        "failed": _("The record is neither stored nor queued. It is a line in the dashboard's log."),
    }
    return descriptions[status]


def outcome_card(call: RecordedCall, row: Row) -> None:
    """Draw the outcome of a test recording, its steps, and the row in the table."""
    outcome = call.outcome
    status = "delivered" if outcome.status == "queued" and isinstance(row, dict) else outcome.status
    color, icon = _STATUS_STYLE[status]
    with st.container(border=True, gap="small", key="outcome"):
        st.markdown(f":{color}[{icon}] **{status_meaning(status)}**")
        if outcome.error and status != "delivered":
            st.text(translate(outcome.error))
        with st.grid(4, min_column_width=140):
            st.metric(_("Status"), status_name(status), border=True)
            if outcome.status in STORED:
                st.metric(_("Connection"), milliseconds(outcome.connection_ms), border=True)
                st.metric(_("Write"), milliseconds(outcome.write_ms), border=True)
            st.metric(_("Retries"), exact(outcome.retry_count), border=True)
        with st.container(gap="xxsmall"):
            for ok, text in _steps(call, row):
                with st.container(horizontal=True, wrap=False, gap="small"):
                    st.markdown(":green[:material/check:]" if ok else ":red[:material/close:]", width="content")
                    st.text(text, width="stretch")
        if isinstance(row, dict):
            st.json({name: to_json_value(value) for name, value in row.items() if value is not None}, expanded=True)
        st.caption(f"id {outcome.id} · {note_label(call.note)}")


def note_label(note: str) -> str:
    """The translation of the note in a test call's row."""
    return {SYNTHETIC_NOTE: _("synthetic, no AI was called"), GEMINI_NOTE: _("a real call to Gemini")}[note]


def read_back(reader: Reader, outcome: Outcome) -> Row:
    """The row of a record, the reason why it can't be read, or None if there is no row."""
    if outcome.status == "failed":
        return None
    try:
        return usage_totals.record(reader, outcome.id)
    except DatabaseError as error:
        return error.cause


def _steps(call: RecordedCall, row: Row) -> Iterator[tuple[bool, str]]:
    """The steps in order: whether each succeeded, and its description."""
    outcome = call.outcome
    if call.ai_call_ms is None:
        yield True, _("Synthetic usage: no AI was called.")
    elif isinstance(row, dict) and not row["success"]:
        text = _("The AI call failed. It was recorded as a failed call: {error}")
        yield False, text.format(error=row["error_message"])
    else:
        yield (
            True,
            _("Gemini responded in {time}. The usage was read from the response.").format(
                time=milliseconds(call.ai_call_ms)
            ),
        )
    if outcome.status == "queued":
        yield True, _("Queued in the local outbox.")
        is_delivered = isinstance(row, dict)
        yield is_delivered, _("Read back from the table.") if is_delivered else _("Not written to the table yet.")
        return
    if outcome.status not in STORED:
        yield False, _("Not written to the table.")
        return
    yield True, _("Connected in {time}.").format(time=milliseconds(outcome.connection_ms))
    yield True, _("Written in {time}.").format(time=milliseconds(outcome.write_ms))
    if isinstance(row, str):
        yield False, translate(row)
    elif row is None:
        yield False, _("The table has no row with this id.")
    else:
        yield True, _("Read back from the table.")
    if call.repeated is not None:
        is_duplicate = call.repeated.status == "duplicate"
        text = _("Same id again: {status}, as expected.") if is_duplicate else _("Same id again: {status}.")
        yield is_duplicate, text.format(status=status_name(call.repeated.status))


def burst_result(burst: Burst) -> None:
    """Draw the progress of a load test while it runs, and its result."""
    if not burst.done:
        st.progress(
            burst.progress,
            _("{n} of {records}").format(n=exact(len(burst.outcomes)), records=records(burst.records)),
        )
        return
    if burst.error is not None:
        st.markdown(f":red[:material/error:] **{_('The check failed.')}**")
        st.text(translate(str(burst.error)))
        return
    if burst.exactly_once:
        text = plural(
            "{n} record was acknowledged and has exactly one row.",
            "{n} records were acknowledged, and each has exactly one row.",
            burst.records,
        )
        st.success(text.format(n=exact(burst.records)), icon=":material/check_circle:")
    else:
        text = _("{n} records: {rows} have a row, {waiting} are still in the outbox.")
        st.error(
            text.format(n=exact(burst.records), rows=exact(burst.ids or 0), waiting=exact(burst.undelivered)),
            icon=":material/error:",
        )
    with st.grid(5, min_column_width=130):
        per_second = burst.records / max(burst.done_s or 0.0, 1e-3)
        st.metric(_("Records per second"), exact(per_second), border=True, help=_("Delivered and committed"))
        st.metric(_("Total time"), seconds(burst.done_s), border=True)
        for quantile in (0.5, 0.95, 0.99):
            st.metric(
                f"p{exact(quantile * 100)}",
                milliseconds(burst.percentile_ms(quantile)),
                border=True,
                help=_("How long callers waited for record, with {n} in parallel").format(n=burst.parallel),
            )
    _outcome_badges(burst)
    _duration_chart(burst)


def _outcome_badges(burst: Burst) -> None:
    with st.container(horizontal=True):
        for recorded, number in sorted(burst.statuses().items()):
            status = "delivered" if recorded == "queued" and burst.exactly_once else recorded
            color, icon = _STATUS_STYLE[status]
            st.badge(f"{status_name(status)} {exact(number)}", icon=icon, color=color)  # type: ignore[arg-type]
    first = next((outcome.error for outcome in burst.outcomes if outcome.error), None)
    if first:
        st.text(translate(first))


def _duration_chart(burst: Burst) -> None:
    duration_histogram(burst.durations_ms, alt=_("How long callers waited, in milliseconds"))
