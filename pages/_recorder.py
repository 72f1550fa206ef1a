"""Test recordings: the process's shared Tracker, what the two buttons record, and a limit for everybody together."""

from __future__ import annotations

import threading
import time
from collections import deque

import tracker
from tracker.database.pool import PoolStats
from tracker.reports import Reader

LIMIT = 30
WINDOW_S = 60.0
NOTE = "synthetic, no AI was called"

# Module globals on purpose: whoever can open the page can empty Streamlit's caches.
_lock = threading.Lock()
_recent: deque[float] = deque()
_recorder: tracker.Tracker | None = None


class TooMany(Exception):  # noqa: N818 - a refusal, not an error
    """The limit is reached; `wait_s` is how long until the next one."""

    def __init__(self, wait_s: float) -> None:
        super().__init__(f"{LIMIT} test recordings a minute are allowed, for all readers together.")
        self.wait_s = wait_s


def record_test(reader: Reader, kind: str) -> tracker.Outcome:
    """Record one synthetic call of a kind of `KINDS`, as an app would. Raises `TooMany`."""
    admit()
    return recorder(reader).record(KINDS[kind]())


def recorder(reader: Reader) -> tracker.Tracker:
    """The process's shared Tracker on the dashboard's database."""
    global _recorder
    database = reader.database
    _recorder = tracker.shared(mode="direct", pool_size=2, database_url=database.url.with_password())
    return _recorder


def recorder_pool() -> PoolStats | None:
    """The shared Tracker's pool; None before the first test recording."""
    return _recorder.pool_stats() if _recorder else None


def admit() -> None:
    """Count one more test recording. Raises `TooMany`."""
    now = time.monotonic()
    with _lock:
        while _recent and now - _recent[0] >= WINDOW_S:
            _recent.popleft()
        if len(_recent) >= LIMIT:
            raise TooMany(WINDOW_S - (now - _recent[0]))
        _recent.append(now)


def _summary() -> tracker.TokenUsage:
    return _synthetic("summary_generation", input_tokens=812, output_tokens=164, processing_time=1240)


def _tag() -> tracker.TokenUsage:
    return _synthetic("tag_generation", input_tokens=356, output_tokens=24, processing_time=410)


def _synthetic(operation: str, *, input_tokens: int, output_tokens: int, processing_time: int) -> tracker.TokenUsage:
    return tracker.TokenUsage(
        model="gemini-2.5-flash",
        provider="google",
        operation=operation,
        user_id="dashboard",
        input_tokens=input_tokens,
        output_tokens=output_tokens,
        processing_time=processing_time,
        is_test=True,
        metadata={"note": NOTE},
    )


KINDS = {"summary": _summary, "tag": _tag}
