"""Test recordings: the process's shared Tracker, one call at a time or a burst, and a limit for everybody together.

One recording runs at a time: the shared Tracker holds two connections, a burst in the background uses a Tracker of
its own with two, and together with the three that read there are never more than five.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import tracker
from pages.support import ai_call
from tracker.database.pool import PoolStats
from tracker.reports import Reader

LIMIT = 30
BURST_LIMIT = 4
WINDOW_S = 60.0
POOL_SIZE = 2
THERE = {"recorded", "duplicate"}

# Module globals on purpose: whoever can open the page can empty Streamlit's caches.
_lock = threading.Lock()
_busy = threading.Lock()
_recent: deque[float] = deque()
_recent_bursts: deque[float] = deque()
_recorder: tracker.Tracker | None = None
_own: deque[tracker.Outcome] = deque(maxlen=200)


class TooMany(Exception):  # noqa: N818 - a refusal, not an error
    """The limit is reached; `wait_s` is how long until the next one."""

    def __init__(self, wait_s: float) -> None:
        super().__init__(f"{LIMIT} test recordings a minute are allowed, for all readers together.")
        self.wait_s = wait_s


class Busy(Exception):  # noqa: N818 - a refusal, not an error
    """Somebody's burst is running."""


@dataclass(frozen=True, slots=True)
class Made:
    """A test recording: how long its AI call took (ms; None where none was made), and what became of it twice."""

    note: str
    asked_ms: float | None
    outcome: tracker.Outcome
    again: tracker.Outcome | None
    """The same id once more; None where the first wasn't stored."""


def record(reader: Reader, kind: str) -> Made:
    """Record one call as an app would, and its id once more. Raises `TooMany`, `Busy`."""
    admit()
    began = time.perf_counter()
    write = ai_call.call(kind)  # before one's turn: an AI may take its time
    asked_ms = (time.perf_counter() - began) * 1000 if ai_call.is_real() else None
    with turn():
        chosen = recorder(reader)
        outcome = write(chosen)
        again = chosen.record(ai_call.synthetic(kind, id=outcome.id)) if outcome.status in THERE else None
    _own.append(outcome)
    return Made(ai_call.REAL if asked_ms is not None else ai_call.SYNTHETIC, asked_ms, outcome, again)


def own_writes() -> list[tracker.Outcome]:
    """The newest outcomes of this process, in their order."""
    return [outcome for outcome in _own if outcome.write_ms is not None]


@contextmanager
def turn() -> Iterator[None]:
    """One's turn to record. Raises `Busy` while a burst runs."""
    if not _busy.acquire(timeout=2.0):
        raise Busy
    try:
        yield
    finally:
        _busy.release()


def recorder(reader: Reader) -> tracker.Tracker:
    """The process's shared Tracker on the dashboard's database."""
    global _recorder
    database = reader.database
    _recorder = tracker.shared(mode="direct", pool_size=POOL_SIZE, database_url=database.url.with_password())
    return _recorder


def background(reader: Reader) -> tracker.Tracker:
    """A Tracker in background mode for a burst; the shared one gives its connections up for it."""
    recorder(reader).close()
    url = reader.database.url.with_password()
    return tracker.Tracker(mode="background", pool_size=POOL_SIZE, database_url=url)


def recorder_pool() -> PoolStats | None:
    """The shared Tracker's pool; None before the first test recording."""
    return _recorder.pool_stats() if _recorder else None


def admit(*, burst: bool = False) -> None:
    """Count one press of a button of all readers. Raises `TooMany`."""
    recent, limit = (_recent_bursts, BURST_LIMIT) if burst else (_recent, LIMIT)
    now = time.monotonic()
    with _lock:
        while recent and now - recent[0] >= WINDOW_S:
            recent.popleft()
        if len(recent) >= limit:
            raise TooMany(WINDOW_S - (now - recent[0]))
        recent.append(now)
