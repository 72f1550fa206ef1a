"""The status badge in the sidebar: whether recording works normally, partly, late, or not at all."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass

import streamlit as st

from pages.support.formats import age, exact, records
from pages.support.i18n import _, plural
from pages.support.message_text import translate
from pages.support.recording_status import LATE_S, RecordingState, StatusMonitor
from tracker.errors import TrackerError
from tracker.reports.connections import sampler
from tracker.reports.engine import current_reader

monitor = StatusMonitor()
# Causes that delay or prevent some records while others arrive. Other recommendations don't change the color.
_PARTIAL_CODES = {"background_on_serverless", "few_slots", "outbox_damaged", "outbox_unwritable", "right_missing"}
_PAGE_BY_CODE = {
    "few_slots": "connections.py",
    "too_many_connections": "connections.py",
    "session_pool_full": "connections.py",
    "pool_exhausted": "connections.py",
    "outbox_waiting": "performance.py",
    "outbox_undelivered": "environment.py",
    "outbox_set_aside": "performance.py",
    "records_missing": "performance.py",
    "alerts": "performance.py",
}
# The sidebar shows these causes already, so they don't count as hints.
_SHOWN_ELSEWHERE = {
    "database_url_missing",
    "outbox_waiting",
    "outbox_undelivered",
    "outbox_set_aside",
    "records_missing",
}


@dataclass(frozen=True, slots=True)
class BadgeStatus:
    """The content of the badge; `page` explains the reason, `hints` is the number of other recommendations."""

    color: str
    label: str
    reason: str
    page: str
    hints: int = 0


def show() -> None:
    """Draw the badge with its label, reason, and a link to the page that explains it."""
    status = badge_status(monitor.state())
    with suppress(TrackerError):
        sampler.shared(current_reader.reader()).keep_awake()
    with st.container(gap="xxsmall", key="status"):
        st.markdown(f":{status.color}[●] **{status.label}**")
        st.text(status.reason)
        if status.page:
            st.page_link(status.page, label=_("Details"), icon=":material/arrow_forward:", width="content")
        elif status.hints:
            text = plural("{n} recommendation", "{n} recommendations", status.hints).format(n=exact(status.hints))
            st.page_link("environment.py", label=text, icon=":material/checklist:", width="content")


def badge_status(state: RecordingState | None) -> BadgeStatus:
    """The badge of a state. The worst problem decides."""
    if state is None:
        return BadgeStatus("gray", _("Checking"), _("The database hasn't responded yet."), "environment.py")
    advice = [item for item in state.advice if not (state.is_read_only and item["code"] == "right_missing")]
    failure = next((item for item in advice if item["severity"] == "error"), None)
    if state.error is not None or (failure and not state.recorded):
        reason = translate(str(failure["cause"])) if failure else translate(state.error or "")
        return BadgeStatus("red", _("Not recording"), reason, _page_for(failure))
    if (delivery_problem := _delivery_problem(state)) is not None:
        return delivery_problem
    if failure:
        reason = _("Other processes record, but this one can't: {cause}")
        reason = reason.format(cause=translate(str(failure["cause"])))
        return BadgeStatus("orange", _("Partly recording"), reason, _page_for(failure))
    partly = next((item for item in advice if item["code"] in _PARTIAL_CODES), None)
    if partly:
        return BadgeStatus("orange", _("Partly recording"), translate(str(partly["cause"])), _page_for(partly))
    hints = sum(item["severity"] == "warning" and item["code"] not in _SHOWN_ELSEWHERE for item in advice)
    hints += state.is_read_only
    if not state.recorded and any(item["code"] == "sees_no_rows" for item in advice):
        reason = _("Row-level security hides all rows from this role.")
        return BadgeStatus("gray", _("No visible rows"), reason, "environment.py")
    if state.is_read_only and not state.recorded:
        return BadgeStatus("gray", _("Read-only"), _("This role can read, but not record."), "", hints)
    if not state.recorded:
        # The table may still contain rows: imported, sample, or inserted by an app itself.
        return BadgeStatus("gray", _("No recordings"), _("No Tracker has recorded in the last 24 h."), "", hints)
    return BadgeStatus("green", _("Recording normally"), _recorded_text(state), "", hints)


def _recorded_text(state: RecordingState) -> str:
    """The number of records; test records count only if there are no others."""
    if state.recorded > state.tests:
        template, number = _("{records} in the last 24 h, none missing."), state.recorded - state.tests
    else:
        template, number = _("{records} in the last 24 h, none missing; tests only."), state.tests
    return template.format(records=records(number))


def _delivery_problem(state: RecordingState) -> BadgeStatus | None:
    """The badge for missing or late records, from the loss ledger and the outbox; None if there are none."""
    if state.missing:
        reason = _("{records} of the last 24 h missing.").format(records=records(state.missing))
        return BadgeStatus("orange", _("Partly recording"), reason, "performance.py")
    if state.dead_letters:
        reason = _("{records} refused by the database; see the dead letters in the outbox.")
        reason = reason.format(records=records(state.dead_letters))
        return BadgeStatus("orange", _("Partly recording"), reason, "performance.py")
    if state.waiting and state.oldest_wait_s > LATE_S:
        reason = _("{records} waiting, the oldest for {time}.").format(
            records=records(state.waiting), time=age(state.oldest_wait_s)
        )
        return BadgeStatus("orange", _("Recording late"), reason, "performance.py")
    return None


def _page_for(cause: object) -> str:
    code = str(cause["code"]) if isinstance(cause, dict) else ""
    return _PAGE_BY_CODE.get(code, "environment.py")
