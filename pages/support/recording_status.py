"""The state of recording for the status badge: diagnostics, loss ledger, and outbox, read once for all users.

A background thread reads it, so that a database that hangs doesn't block a page. Users see the last result.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import wait
from contextlib import closing, nullcontext
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from tracker.diagnostics import report
from tracker.errors import OutboxError, TrackerError
from tracker.recording.outbox.paths import embedded_source, exists, outbox_file
from tracker.recording.outbox.store import Outbox, OutboxDepth
from tracker.reports import Filters, Reader
from tracker.reports.engine import current_reader
from tracker.reports.ledger_report import Ledger, ledger
from tracker.single_flight import SingleFlight

REFRESH_S = 8.0
# Shorter after an error: the badge must not show an error when the page has recovered.
ERROR_REFRESH_S = 2.0
DIAGNOSE_EVERY_S = 60.0
MAX_WAIT_S = 2.0
LATE_S = 60.0

log = logging.getLogger("tracker.dashboard")
Advice = Sequence[Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class RecordingState:
    """The inputs of the status badge. Messages are the library's English ones; the badge translates them."""

    error: str | None = None
    missing: int = 0
    waiting: int = 0
    oldest_wait_s: float = 0.0
    dead_letters: int = 0
    recorded: int = 0
    """The records of the last 24 hours, including tests."""
    tests: int = 0
    advice: Advice = ()
    """The recommendations of the debug report, the most likely cause first."""
    is_read_only: bool = False
    """Whether the right to record is the only right that the role lacks."""


class StatusMonitor:
    """Keeps the last state for all users, and reads it again when a user needs it and it is old."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._source: str | None = None
        self._last: RecordingState | None = None
        self._state: SingleFlight[RecordingState] | None = None
        self._advice: tuple[float, bool, Advice, bool] | None = None

    def state(self) -> RecordingState | None:
        """The last state, a few seconds old if the database responds; None before the first result."""
        reader, error = _current_reader()
        source = reader.database.url.with_password() if reader else str(error)
        with self._lock:
            if source != self._source or self._state is None:
                self._source, self._last, self._advice = source, None, None
                self._state = SingleFlight("tracker-status", lambda: self._load(source), _refresh_s)
            state = self._state
        wait([state.request()], MAX_WAIT_S)
        with self._lock:
            return self._last if self._source == source else None

    def _load(self, source: str) -> RecordingState:
        try:
            state = self._read(*_current_reader())
        except Exception:
            log.exception("The state of recording couldn't be read.")
            raise
        with self._lock:
            if self._source == source:
                self._last = state
        return state

    def _read(self, reader: Reader | None, error: TrackerError | None) -> RecordingState:
        loss, depth = None, None
        if reader is not None:
            try:
                reader.check()
                loss, depth = last_day_ledger(reader), outbox_depth(reader)
            except TrackerError as database_error:
                error = database_error
        advice, is_read_only = self._diagnose(reader, works=error is None)
        if error is not None:
            return RecordingState(error=getattr(error, "cause", None) or str(error), advice=advice)
        waiting = loss.waiting if loss else 0
        return RecordingState(
            missing=loss.missing if loss else 0,
            waiting=max(waiting, depth.waiting if depth else 0),
            oldest_wait_s=time.time() - depth.oldest_at if depth and depth.oldest_at else LATE_S * bool(waiting),
            dead_letters=depth.dead_letters if depth else 0,
            recorded=loss.recorded if loss else 0,
            tests=loss.tests if loss else 0,
            advice=advice,
            is_read_only=is_read_only,
        )

    def _diagnose(self, reader: Reader | None, *, works: bool) -> tuple[Advice, bool]:
        """The recommendations, and whether the role is read-only; at once after a change, else once a minute."""
        if self._advice and self._advice[1] == works and time.monotonic() - self._advice[0] < DIAGNOSE_EVERY_S:
            return self._advice[2:]
        url, reserve = (reader.database.url, reader.reserve_connection) if reader else (None, nullcontext)
        debug_report = report.build_report(url=url, reserve=reserve)
        advice = tuple(recommendation.as_dict() for recommendation in debug_report.recommendations)
        is_read_only = bool(debug_report.database.get("onlyReads"))
        self._advice = time.monotonic(), works, advice, is_read_only
        return advice, is_read_only


def _current_reader() -> tuple[Reader | None, TrackerError | None]:
    """The Reader, or why there is none."""
    try:
        return current_reader.reader(), None
    except TrackerError as error:
        return None, error


def _refresh_s(state: RecordingState) -> float:
    return REFRESH_S if state.error is None else ERROR_REFRESH_S


def last_day_ledger(reader: Reader) -> Ledger:
    """The loss ledger of the last 24 hours."""
    now = datetime.now(UTC)
    return ledger(reader, Filters(start=now - timedelta(days=1), end=now + timedelta(minutes=1)))


def outbox_depth(reader: Reader) -> OutboxDepth | None:
    """The depth of this machine's outbox for the dashboard's database; None if there is no outbox.

    For the embedded database it includes the records that were queued without a database URL.
    """
    settings = reader.database.settings
    paths = [outbox_file(settings, reader.database.url)]
    if reader.database.embedded and (unassigned := embedded_source(settings)):
        paths.append(unassigned)
    depths = [depth for path in paths if exists(path) and (depth := _depth(path))]
    if not depths:
        return None
    return OutboxDepth(
        sum(depth.waiting for depth in depths),
        sum(depth.dead_letters for depth in depths),
        min((depth.oldest_at for depth in depths if depth.oldest_at), default=None),
    )


def _depth(path: Path) -> OutboxDepth | None:
    try:
        with closing(Outbox(path)) as outbox:
            return outbox.depth()
    except OutboxError:
        return None
