"""What the dot is judged by: the diagnosis, the loss ledger and the outbox, asked once for all readers.

Asked in a thread of its own, so that a database that hangs keeps no page waiting; readers see the last answer.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import closing, nullcontext
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from tracker.diagnostics import report
from tracker.errors import OutboxError, TrackerError
from tracker.recording.outbox.paths import exists, outbox_file
from tracker.recording.outbox.store import Outbox, OutboxDepth
from tracker.reports import Filters, Reader
from tracker.reports.engine import current_reader
from tracker.reports.ledger_report import Ledger, ledger

ASK_EVERY_S = 8.0
# A page that recovers is drawn whole: the dot shall not go on saying that nothing is recorded.
ASK_IN_TROUBLE_EVERY_S = 2.0
DIAGNOSE_EVERY_S = 60.0
PATIENCE_S = 2.0
LATE_S = 60.0

log = logging.getLogger("tracker.dashboard")
Advice = Sequence[Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class Found:
    """What there is to judge: numbers, and the library's sentences, so that each reader's language can say it."""

    trouble: str | None = None
    missing: int = 0
    waiting: int = 0
    waits_s: float = 0.0
    set_aside: int = 0
    recorded: int = 0
    advice: Advice = ()
    """The diagnosis's recommendations, the most likely cause first."""
    only_reads: bool = False
    """Whether this role lacks nothing but the right to record."""


class Watch:
    """Keeps one answer for all readers; it is asked for again when a reader comes and it is old."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._about: str | None = None
        self._last: tuple[float, Found] | None = None
        self._asking: threading.Event | None = None
        self._advice: tuple[float, bool, Advice, bool] | None = None

    def look(self) -> Found | None:
        """What is known, at most some seconds old where the database answers; None before the first answer."""
        try:
            reader: Reader | None = current_reader.reader()
        except TrackerError as error:
            reader, trouble = None, error
        about = reader.database.url.with_password() if reader else str(trouble)
        with self._lock:
            if about != self._about:
                self._about, self._last, self._asking, self._advice = about, None, None, None
            if self._last and time.monotonic() - self._last[0] < _fresh_s(self._last[1]):
                return self._last[1]
            if self._asking is None:
                self._asking = threading.Event()
                work = (about, self._asking, reader, None if reader else trouble)
                threading.Thread(target=self._ask, args=work, name="tracker-status", daemon=True).start()
            answered = self._asking
        answered.wait(PATIENCE_S)
        with self._lock:
            return self._last[1] if self._last and self._about == about else None

    def _ask(self, about: str, done: threading.Event, reader: Reader | None, trouble: TrackerError | None) -> None:
        try:
            found = self._found(reader, trouble)
        except Exception:
            log.exception("The state of recording couldn't be looked at.")
            found = None
        with self._lock:
            if self._about == about:
                self._asking = None
                if found is not None:
                    self._last = time.monotonic(), found
        done.set()

    def _found(self, reader: Reader | None, trouble: TrackerError | None) -> Found:
        book, depth = None, None
        if reader is not None:
            try:
                reader.check()
                book, depth = ledger_of_the_day(reader), outbox_depth(reader)
            except TrackerError as error:
                trouble = error
        advice, only_reads = self._diagnosis(reader, works=trouble is None)
        if trouble is not None:
            return Found(trouble=getattr(trouble, "cause", None) or str(trouble), advice=advice)
        waiting = book.waiting if book else 0
        return Found(
            missing=book.missing if book else 0,
            waiting=max(waiting, depth.waiting if depth else 0),
            waits_s=time.time() - depth.oldest_at if depth and depth.oldest_at else LATE_S * bool(waiting),
            set_aside=depth.dead_letters if depth else 0,
            recorded=book.recorded if book else 0,
            advice=advice,
            only_reads=only_reads,
        )

    def _diagnosis(self, reader: Reader | None, *, works: bool) -> tuple[Advice, bool]:
        """The report's recommendations, and whether this role only reads; at once when things change, else seldom."""
        if self._advice and self._advice[1] == works and time.monotonic() - self._advice[0] < DIAGNOSE_EVERY_S:
            return self._advice[2:]
        url, reserve = (reader.database.url, reader.reserve_connection) if reader else (None, nullcontext)
        made = report.build_report(url=url, reserve=reserve)
        advice = tuple(found.as_dict() for found in made.recommendations)
        only_reads = bool(made.database.get("onlyReads"))
        self._advice = time.monotonic(), works, advice, only_reads
        return advice, only_reads


def _fresh_s(found: Found) -> float:
    return ASK_EVERY_S if found.trouble is None else ASK_IN_TROUBLE_EVERY_S


def ledger_of_the_day(reader: Reader) -> Ledger:
    """The loss ledger of the last 24 hours."""
    moment = datetime.now(UTC)
    return ledger(reader, Filters(start=moment - timedelta(days=1), end=moment + timedelta(minutes=1)))


def outbox_depth(reader: Reader) -> OutboxDepth | None:
    """What waits on this machine for the dashboard's database; None where there is no outbox."""
    path = outbox_file(reader.database.settings, reader.database.url)
    if not exists(path):
        return None
    try:
        with closing(Outbox(path)) as outbox:
            return outbox.depth()
    except OutboxError:
        return None
