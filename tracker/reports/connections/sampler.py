"""Samples the server's connections for all page viewers in one thread: often during a visit of the page, else rarely.

It stops an hour after the last visit, so that a serverless database can be suspended.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from dataclasses import dataclass

from tracker.background_tasks import PeriodicWorker
from tracker.errors import SettingError, TrackerError
from tracker.messages import Message
from tracker.platforms import SERVERLESS
from tracker.reports.connections import pgbouncer
from tracker.reports.connections.advice import Advice, Instances, advise
from tracker.reports.connections.sessions import Session, Slots, by_state, list_sessions, read_slots
from tracker.reports.engine.reader import Reader

VISITED_INTERVAL_S = 2.5
IDLE_INTERVAL_S = 30.0
_VISIT_S = 15.0
_STOP_AFTER_S = 3600.0
_POINT_INTERVAL_S = 15.0
_MAX_POINTS = 1440  # six hours
_CHURN_WINDOW_S = 60.0
_SERVERLESS_POOL_SIZE, _SERVER_POOL_SIZE = 5, 15


@dataclass(frozen=True, slots=True)
class Point:
    """The number of connections by state at a time (seconds of the epoch)."""

    at_s: float
    states: dict[str, int]


@dataclass(frozen=True, slots=True)
class ConnectionSample:
    """The connections at the time `at_s` (seconds of the epoch). `pools_error` is why PgBouncer's pools are missing."""

    number: int
    at_s: float
    sessions: tuple[Session, ...]
    slots: Slots
    opened_per_minute: float | None
    advice: tuple[Advice, ...]
    pools: tuple[pgbouncer.Pool, ...] | None = None
    pools_error: str | None = None
    points: tuple[Point, ...] = ()


@dataclass(slots=True)
class _SessionCount:
    at_s: float
    sessions: int


class Sampler:
    """Samples the connections in a daemon thread; all callers get the same `ConnectionSample`."""

    def __init__(self, reader: Reader) -> None:
        self.reader = reader
        self._sampled = threading.Condition()
        self._sample: ConnectionSample | None = None
        self._error: TrackerError | None = None
        self._sampled_at_s = 0.0
        self._visited_at_s = float("-inf")
        self._session_counts: deque[_SessionCount] = deque(maxlen=64)
        self._points: deque[Point] = deque(maxlen=_MAX_POINTS)
        self._worker = PeriodicWorker(
            "tracker-sampler",
            {"sample_connections": self._run},
            lambda _: VISITED_INTERVAL_S if self._unvisited_s() < _VISIT_S else IDLE_INTERVAL_S,
            is_needed=lambda: self._unvisited_s() < _STOP_AFTER_S,
        )

    def latest(self, timeout_s: float = 10.0) -> ConnectionSample:
        """The newest sample; waits if there is no recent one. Raises the `TrackerError` of the newest attempt."""
        with self._sampled:
            self._visited_at_s = time.monotonic()
            is_recent = time.monotonic() - self._sampled_at_s < 2 * VISITED_INTERVAL_S
            if not is_recent or self._sample is None:
                last_attempt_s = self._sampled_at_s
                self._worker.wake()
                self._sampled.wait_for(lambda: self._sampled_at_s != last_attempt_s, timeout_s)
            if self._error is not None:
                raise self._error.copy()
            if self._sample is None:
                raise SettingError(Message("reports.first_sample_slow"))
            return self._sample

    def keep_awake(self) -> None:
        """Continue to sample at the idle interval. Called when any page is viewed."""
        self._visited_at_s = max(self._visited_at_s, time.monotonic() - _VISIT_S)
        self._worker.wake()

    def stop(self) -> None:
        """End the thread."""
        self._worker.stop()

    def _unvisited_s(self) -> float:
        return time.monotonic() - self._visited_at_s

    def _run(self) -> None:
        try:
            sample = self._take_sample()
        except TrackerError as error:
            self._publish(self._sample, error.copy())
            raise
        except Exception as error:
            self._publish(
                self._sample, SettingError(Message("reports.sampling_failed", error_type=type(error).__name__))
            )
            raise
        self._publish(sample, None)

    def _publish(self, sample: ConnectionSample | None, error: TrackerError | None) -> None:
        with self._sampled:
            self._sample, self._error, self._sampled_at_s = sample, error, time.monotonic()
            self._sampled.notify_all()

    def _take_sample(self) -> ConnectionSample:
        sessions = list_sessions(self.reader)
        slots = read_slots(self.reader, sessions)
        now = time.time()
        if not self._points or now - self._points[-1].at_s >= _POINT_INTERVAL_S:
            self._points.append(Point(now, by_state(sessions)))
        pools, pools_error = self._pools()
        return ConnectionSample(
            number=self._sample.number + 1 if self._sample else 1,
            at_s=now,
            sessions=sessions,
            slots=slots,
            opened_per_minute=self._opened_per_minute(),
            advice=advise(sessions, slots, self._instances(), self.reader.database.url),
            pools=pools,
            pools_error=pools_error,
            points=tuple(self._points),
        )

    def _opened_per_minute(self) -> float | None:
        """Sessions opened per minute, over the last minute or since the first sample."""
        row = self.reader.rows("churn")[0]
        if row["sessions"] is None:
            return None
        newest = _SessionCount(row["at_s"], row["sessions"])
        self._session_counts.append(newest)
        window_s = _CHURN_WINDOW_S + IDLE_INTERVAL_S
        oldest = next(count for count in self._session_counts if newest.at_s - count.at_s <= window_s)
        elapsed_s = newest.at_s - oldest.at_s
        if elapsed_s < VISITED_INTERVAL_S:
            return None
        return max(0.0, (newest.sessions - oldest.sessions) / elapsed_s * 60)

    def _instances(self) -> list[Instances]:
        try:
            rows = self.reader.rows("instances")
        except TrackerError:  # the other values don't need the table token_usage
            return []
        settings = self.reader.database.settings
        return [
            Instances(
                f"{row['platform']} {row['environment']} {row['deployment']}",
                row["instances"],
                settings.pool_size
                if row["platform"] == settings.runtime.platform
                else (_SERVERLESS_POOL_SIZE if row["platform"] in SERVERLESS else _SERVER_POOL_SIZE),
            )
            for row in rows
        ]

    def _pools(self) -> tuple[tuple[pgbouncer.Pool, ...] | None, str | None]:
        try:
            return pgbouncer.pools(self.reader.database.settings, self.reader.name), None
        except TrackerError as error:
            return None, str(error)


_shared: Sampler | None = None
_shared_lock = threading.Lock()


def shared(reader: Reader) -> Sampler:
    """The Sampler of this process for a Reader; the Sampler of an earlier Reader is stopped."""
    global _shared
    with _shared_lock:
        if _shared is None or _shared.reader is not reader:
            if _shared is not None:
                _shared.stop()
            _shared = Sampler(reader)
        return _shared


def stop_shared() -> None:
    """Stop the shared Sampler; the next call of `shared` creates a new one."""
    global _shared
    with _shared_lock:
        if _shared is not None:
            _shared.stop()
        _shared = None
