"""The one dot: is recording normal, late or partly, or not at all? Asked once for all readers."""

from __future__ import annotations

import threading
import time
from contextlib import closing, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import streamlit as st
from _formats import records, seconds
from _words import _

from tracker.errors import OutboxError, TrackerError
from tracker.recording.outbox import Depth, Outbox
from tracker.recording.places import exists, outbox_file
from tracker.reports import Filters, Reader, sampler, source
from tracker.reports.ledger import Ledger, ledger

ASK_EVERY_S = 15.0
_LATE_S = 60.0


@dataclass(frozen=True, slots=True)
class Found:
    """What there is to judge: nothing but numbers, so that each reader's language can say it."""

    trouble: str | None = None
    missing: int = 0
    waiting: int = 0
    waits_s: float = 0.0
    set_aside: int = 0
    recorded: int = 0


@dataclass(frozen=True, slots=True)
class Status:
    """A colour, what it means, why, and the page that says more."""

    color: str
    word: str
    why: str
    page: str


_lock = threading.Lock()
_last: tuple[float, Found] | None = None


def show() -> None:
    """The dot with its word, why, and where to look."""
    status = judge(look())
    with suppress(TrackerError):
        sampler.shared(source.reader()).touch()
    with st.container(gap="xxsmall", key="status"):
        st.markdown(f":{status.color}[●] **{status.word}**")
        st.text(status.why)
        if status.page:
            st.page_link(status.page, label=_("Look closer"), icon=":material/arrow_forward:", width="content")


def judge(found: Found) -> Status:
    """What the numbers mean."""
    if found.trouble is not None:
        return Status("red", _("Not recording"), found.trouble, "environment.py")
    if found.missing:
        why = _("{records} of the last 24 h missing.").format(records=records(found.missing))
        return Status("orange", _("Partly recording"), why, "performance.py")
    if found.set_aside:
        why = _("{records} refused by the database and set aside.").format(records=records(found.set_aside))
        return Status("orange", _("Partly recording"), why, "performance.py")
    if found.waiting and found.waits_s > _LATE_S:
        why = _("{records} waiting, the oldest for {time}.").format(
            records=records(found.waiting), time=seconds(found.waits_s)
        )
        return Status("orange", _("Recording late"), why, "performance.py")
    if not found.recorded:
        return Status("gray", _("Nothing recorded yet"), _("No record in the last 24 h."), "")
    why = _("{records} in the last 24 h, none missing.").format(records=records(found.recorded))
    return Status("green", _("Recording normally"), why, "")


def look() -> Found:
    """The numbers, at most `ASK_EVERY_S` old."""
    global _last
    with _lock:
        if _last is None or time.monotonic() - _last[0] > ASK_EVERY_S:
            _last = time.monotonic(), _ask()
        return _last[1]


def forget() -> None:
    """Look anew the next time."""
    global _last
    _last = None


def _ask() -> Found:
    try:
        reader = source.reader()
        reader.check()
        book = ledger_of_the_day(reader)
    except TrackerError as error:
        return Found(trouble=getattr(error, "sentence", None) or str(error))
    depth = outbox_depth(reader)
    waits_s = time.time() - depth.oldest_at if depth and depth.oldest_at else _LATE_S * bool(book.waiting)
    return Found(
        missing=book.missing,
        waiting=max(book.waiting, depth.waiting if depth else 0),
        waits_s=waits_s,
        set_aside=depth.set_aside if depth else 0,
        recorded=book.recorded,
    )


def ledger_of_the_day(reader: Reader) -> Ledger:
    """The loss ledger of the last 24 hours."""
    moment = datetime.now(UTC)
    return ledger(reader, Filters(start=moment - timedelta(days=1), end=moment + timedelta(minutes=1)))


def outbox_depth(reader: Reader) -> Depth | None:
    """What waits on this machine for the dashboard's database; None where there is no outbox."""
    path = outbox_file(reader.database.settings, reader.database.url)
    if not exists(path):
        return None
    try:
        with closing(Outbox(path)) as outbox:
            return outbox.depth()
    except OutboxError:
        return None
