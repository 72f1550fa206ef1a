"""Test recordings through the process's shared Tracker, with a rate limit for all users of the dashboard.

Recordings run one at a time. The shared Tracker, or the separate Tracker of a background burst, has two connections
and the read side has three, so the dashboard never opens more than five.
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

MAX_CALLS = 30
MAX_BURSTS = 4
WINDOW_S = 60.0
POOL_SIZE = 2
STORED = {"recorded", "duplicate"}

# Module globals, because a user can clear Streamlit's caches.
_lock = threading.Lock()
_recording_lock = threading.Lock()
_recent: deque[float] = deque()
_recent_bursts: deque[float] = deque()
_shared_tracker: tracker.Tracker | None = None
_outcomes: deque[tracker.Outcome] = deque(maxlen=200)


class RateLimited(Exception):  # noqa: N818 - a refusal, not an error
    """The rate limit is reached; the next recording is possible in `wait_s` seconds."""

    def __init__(self, wait_s: float) -> None:
        super().__init__(f"{MAX_CALLS} test recordings per minute are allowed for all users together.")
        self.wait_s = wait_s


class RecorderBusy(Exception):  # noqa: N818 - a refusal, not an error
    """Another burst is running."""


@dataclass(frozen=True, slots=True)
class RecordedCall:
    """The result of a test recording."""

    note: str
    ai_call_ms: float | None
    """The duration of the AI call; None for a synthetic call."""
    outcome: tracker.Outcome
    repeated: tracker.Outcome | None
    """The outcome of a second record with the same id; None if the first wasn't stored."""


def record(reader: Reader, kind: str) -> RecordedCall:
    """Record one call as an app does, and again with the same id. Raises `RateLimited`, `RecorderBusy`."""
    check_rate_limit()
    started_at = time.perf_counter()
    write = ai_call.make_call(kind)  # outside the lock, because an AI call may be slow
    ai_call_ms = (time.perf_counter() - started_at) * 1000 if ai_call.calls_gemini() else None
    with exclusive_recording():
        recorder = shared_tracker(reader)
        outcome = write(recorder)
        repeated = recorder.record(ai_call.synthetic_usage(kind, id=outcome.id)) if outcome.status in STORED else None
    _outcomes.append(outcome)
    return RecordedCall(
        ai_call.GEMINI_NOTE if ai_call_ms is not None else ai_call.SYNTHETIC_NOTE, ai_call_ms, outcome, repeated
    )


def measured_outcomes() -> list[tracker.Outcome]:
    """The newest outcomes of this process that have a write time, oldest first."""
    return [outcome for outcome in _outcomes if outcome.write_ms is not None]


@contextmanager
def exclusive_recording() -> Iterator[None]:
    """Hold the recording lock. Raises `RecorderBusy` while a burst runs."""
    if not _recording_lock.acquire(timeout=2.0):
        raise RecorderBusy
    try:
        yield
    finally:
        _recording_lock.release()


def shared_tracker(reader: Reader) -> tracker.Tracker:
    """The process's shared Tracker on the dashboard's database."""
    global _shared_tracker
    database = reader.database
    _shared_tracker = tracker.shared(mode="direct", pool_size=POOL_SIZE, database_url=database.url.with_password())
    return _shared_tracker


def background_tracker(reader: Reader) -> tracker.Tracker:
    """A Tracker in background mode for a burst. Closes the shared Tracker's connections first."""
    shared_tracker(reader).close()
    url = reader.database.url.with_password()
    return tracker.Tracker(mode="background", pool_size=POOL_SIZE, database_url=url)


def tracker_pool_stats() -> PoolStats | None:
    """The shared Tracker's pool; None before the first test recording."""
    return _shared_tracker.pool_stats() if _shared_tracker else None


def check_rate_limit(*, burst: bool = False) -> None:
    """Count one test recording or burst of any user. Raises `RateLimited`."""
    recent, limit = (_recent_bursts, MAX_BURSTS) if burst else (_recent, MAX_CALLS)
    now = time.monotonic()
    with _lock:
        while recent and now - recent[0] >= WINDOW_S:
            recent.popleft()
        if len(recent) >= limit:
            raise RateLimited(WINDOW_S - (now - recent[0]))
        recent.append(now)
