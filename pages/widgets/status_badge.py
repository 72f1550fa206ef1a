"""The one dot: is recording normal, late or partly, or not at all? It comes from the diagnosis, not from a ping."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass

import streamlit as st

from pages.support.formats import exact, records, seconds
from pages.support.i18n import _, plural
from pages.support.message_text import told
from pages.support.recording_status import LATE_S, Found, Watch
from tracker.errors import TrackerError
from tracker.reports.connections import sampler
from tracker.reports.engine import current_reader

watch = Watch()
# Causes that keep records late or out although the database takes some; whatever else is advised changes no colour.
_PARTLY = {"background_on_serverless", "few_slots", "outbox_damaged", "outbox_unwritable", "right_missing"}
_EXPLAINED_BY = {
    "few_slots": "connections.py",
    "too_many_connections": "connections.py",
    "session_pool_full": "connections.py",
    "pool_exhausted": "connections.py",
    "outbox_waiting": "performance.py",
    "outbox_set_aside": "performance.py",
    "records_missing": "performance.py",
    "alerts": "performance.py",
}
# Said right above the dot, or by the dot itself.
_SAID = {"database_url_missing", "outbox_waiting", "outbox_set_aside", "records_missing"}


@dataclass(frozen=True, slots=True)
class Status:
    """A colour, what it means, why, and the page that says more; `hints` is how many other things are advised."""

    color: str
    word: str
    why: str
    page: str
    hints: int = 0


def show() -> None:
    """The dot with its word, why, and where to look."""
    status = judge(watch.look())
    with suppress(TrackerError):
        sampler.shared(current_reader.reader()).keep_awake()
    with st.container(gap="xxsmall", key="status"):
        st.markdown(f":{status.color}[●] **{status.word}**")
        st.text(status.why)
        if status.page:
            st.page_link(status.page, label=_("Look closer"), icon=":material/arrow_forward:", width="content")
        elif status.hints:
            text = plural("{n} thing to look at", "{n} things to look at", status.hints).format(n=exact(status.hints))
            st.page_link("environment.py", label=text, icon=":material/checklist:", width="content")


def judge(found: Found | None) -> Status:
    """What was found means this: the worst of it first."""
    if found is None:
        return Status("gray", _("Looking"), _("The database hasn't answered yet."), "environment.py")
    advice = [item for item in found.advice if not (found.only_reads and item["code"] == "right_missing")]
    broken = next((item for item in advice if item["severity"] == "error"), None)
    if found.trouble is not None or (broken and not found.recorded):
        why = told(str(broken["cause"])) if broken else told(found.trouble or "")
        return Status("red", _("Not recording"), why, _page(broken))
    if (late := _partly(found)) is not None:
        return late
    if broken:
        why = _("Records arrive, but not from here: {cause}").format(cause=told(str(broken["cause"])))
        return Status("orange", _("Partly recording"), why, _page(broken))
    partly = next((item for item in advice if item["code"] in _PARTLY), None)
    if partly:
        return Status("orange", _("Partly recording"), told(str(partly["cause"])), _page(partly))
    hints = sum(item["severity"] == "warning" and item["code"] not in _SAID for item in advice) + found.only_reads
    if not found.recorded and any(item["code"] == "sees_no_rows" for item in advice):
        return Status("gray", _("Sees no rows"), _("Row-level security shows this role no rows."), "environment.py")
    if found.only_reads and not found.recorded:
        return Status("gray", _("Reads only"), _("This role reads and cannot record."), "", hints)
    if not found.recorded:
        # Rows may well be there: imported, invented, or written by an app's own INSERT.
        return Status("gray", _("No recordings"), _("No Tracker has recorded in the last 24 h."), "", hints)
    why = _("{records} in the last 24 h, none missing.").format(records=records(found.recorded))
    return Status("green", _("Recording normally"), why, "", hints)


def _partly(found: Found) -> Status | None:
    """What the ledger and the outbox say is late or missing."""
    if found.missing:
        why = _("{records} of the last 24 h missing.").format(records=records(found.missing))
        return Status("orange", _("Partly recording"), why, "performance.py")
    if found.set_aside:
        why = _("{records} refused by the database and set aside.").format(records=records(found.set_aside))
        return Status("orange", _("Partly recording"), why, "performance.py")
    if found.waiting and found.waits_s > LATE_S:
        why = _("{records} waiting, the oldest for {time}.").format(
            records=records(found.waiting), time=seconds(found.waits_s)
        )
        return Status("orange", _("Recording late"), why, "performance.py")
    return None


def _page(cause: object) -> str:
    code = str(cause["code"]) if isinstance(cause, dict) else ""
    return _EXPLAINED_BY.get(code, "environment.py")
