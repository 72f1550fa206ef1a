"""The Test recordings page: one outcome step by step, and a burst while it runs."""

from __future__ import annotations

from collections.abc import Iterator

import streamlit as st

from pages.support.ai_call import REAL, SYNTHETIC
from pages.support.burst import Burst
from pages.support.formats import exact, milliseconds, plain, records, seconds
from pages.support.i18n import _, plural
from pages.support.message_text import told
from pages.support.test_calls import THERE, Made
from pages.widgets.charts import duration_histogram
from tracker import Outcome
from tracker.errors import DatabaseError
from tracker.reports import Reader, usage_totals

_LOOK = {
    "recorded": ("green", ":material/check_circle:"),
    "duplicate": ("blue", ":material/content_copy:"),
    "queued": ("orange", ":material/schedule:"),
    "failed": ("red", ":material/error:"),
}


def status_name(status: str) -> str:
    """An outcome's status in words."""
    words = {
        "recorded": _("recorded"),
        "duplicate": _("duplicate"),
        "queued": _("queued"),
        "failed": _("failed"),
    }
    return words[status]


def meaning(status: str) -> str:
    """What a status means for the record."""
    words = {
        "recorded": _("The record is committed in Postgres."),
        "duplicate": _("The record was there already and was not stored again."),
        "queued": _("The record waits in the local outbox and is delivered by itself."),
        "failed": _("The record is neither stored nor queued; it is one line in the log of the dashboard."),
    }
    return words[status]


def show(reader: Reader, made: Made) -> None:
    """The outcome step by step, and the row as it stands in the table."""
    outcome = made.outcome
    color, icon = _LOOK[outcome.status]
    row = _read_back(reader, outcome) if outcome.status in THERE else None
    with st.container(border=True, gap="small", key="outcome"):
        st.markdown(f":{color}[{icon}] **{meaning(outcome.status)}**")
        if outcome.error:
            st.text(told(outcome.error))
        with st.grid(4, min_column_width=140):
            st.metric(_("Status"), status_name(outcome.status), border=True)
            if outcome.status in THERE:
                st.metric(_("Connection"), milliseconds(outcome.connection_ms), border=True)
                st.metric(_("Write"), milliseconds(outcome.write_ms), border=True)
            st.metric(_("Retries"), exact(outcome.retry_count), border=True)
        with st.container(gap="xxsmall"):
            for ok, text in _steps(made, row):
                with st.container(horizontal=True, wrap=False, gap="small"):
                    st.markdown(":green[:material/check:]" if ok else ":red[:material/close:]", width="content")
                    st.text(text, width="stretch")
        if isinstance(row, dict):
            st.json({name: plain(value) for name, value in row.items() if value is not None}, expanded=True)
        st.caption(f"id {outcome.id} · {note_words(made.note)}")


def note_words(note: str) -> str:
    """How a call came to be, which its row says in English."""
    return {SYNTHETIC: _("synthetic, no AI was called"), REAL: _("a real call to Gemini")}[note]


def _read_back(reader: Reader, outcome: Outcome) -> dict[str, object] | str | None:
    """The row, or why it can't be read, or None where there is none."""
    try:
        return usage_totals.record(reader, outcome.id)
    except DatabaseError as error:
        return error.cause


def _steps(made: Made, row: dict[str, object] | str | None) -> Iterator[tuple[bool, str]]:
    """What was done, in order, and whether it went well."""
    outcome = made.outcome
    if made.asked_ms is None:
        yield True, _("Usage made up: no AI was called.")
    elif isinstance(row, dict) and not row["success"]:
        text = _("The AI call failed, and the record says so: {error}")
        yield False, text.format(error=row["error_message"])
    else:
        yield True, _("Gemini answered in {time}; its usage was read.").format(time=milliseconds(made.asked_ms))
    if outcome.status not in THERE:
        yield False, _("It was not written to the table.")
        return
    yield True, _("Connected in {time}.").format(time=milliseconds(outcome.connection_ms))
    yield True, _("Written in {time}.").format(time=milliseconds(outcome.write_ms))
    if isinstance(row, str):
        yield False, told(row)
    elif row is None:
        yield False, _("There is no row with that id in the table.")
    else:
        yield True, _("Read back from the table.")
    if made.again is not None:
        words = _("The same id again: {status}, as it should be."), _("The same id again: {status}.")
        as_it_should = made.again.status == "duplicate"
        yield as_it_should, words[not as_it_should].format(status=status_name(made.again.status))


def show_burst(burst: Burst) -> None:
    """A burst's progress while it runs, and what it proved when it is done."""
    if not burst.done:
        st.progress(
            burst.progress,
            _("{n} of {records}").format(n=exact(len(burst.outcomes)), records=records(burst.records)),
        )
        return
    if burst.trouble is not None:
        st.markdown(f":red[:material/error:] **{_('The check could not be made.')}**")
        st.text(told(str(burst.trouble)))
        return
    if burst.exactly_once:
        text = plural(
            "{n} record was acknowledged and can be read exactly once.",
            "{n} records were acknowledged, and each can be read exactly once.",
            burst.records,
        )
        st.success(text.format(n=exact(burst.records)), icon=":material/check_circle:")
    else:
        text = _("Of {n} records, {rows} can be read now and {waiting} still wait in the outbox.")
        st.error(
            text.format(n=exact(burst.records), rows=exact(burst.ids or 0), waiting=exact(burst.undelivered)),
            icon=":material/error:",
        )
    with st.grid(5, min_column_width=130):
        per_second = burst.records / max(burst.done_s or 0.0, 1e-3)
        st.metric(_("Records a second"), exact(per_second), border=True, help=_("Delivered and committed"))
        st.metric(_("In all"), seconds(burst.done_s), border=True)
        for part in (0.5, 0.95, 0.99):
            st.metric(
                f"p{part * 100:.0f}",
                milliseconds(burst.percentile(part)),
                border=True,
                help=_("So long the caller waited for record, with {n} at once").format(n=burst.at_once),
            )
    _outcomes(burst)
    _distribution(burst)


def _outcomes(burst: Burst) -> None:
    with st.container(horizontal=True):
        for status, number in sorted(burst.statuses().items()):
            color, icon = _LOOK[status]
            st.badge(f"{status_name(status)} {exact(number)}", icon=icon, color=color)  # type: ignore[arg-type]
    first = next((outcome.error for outcome in burst.outcomes if outcome.error), None)
    if first:
        st.text(told(first))


def _distribution(burst: Burst) -> None:
    duration_histogram(burst.took_ms, alt=_("How long the caller waited, in milliseconds"))
