"""Samples the server's connections for all page viewers in one thread: often during a visit of the page, else rarely.

It stops an hour after the last visit, so that a serverless database can be suspended.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from tracker.background_tasks import background_tasks
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


@dataclass(slots=True)
class Sampler:
    """Samples the connections in a daemon thread; all callers get the same `ConnectionSample`."""

    reader: Reader
    clock: Callable[[], float] = time.monotonic
    _lock: threading.Condition = field(default_factory=threading.Condition)
    _thread: threading.Thread | None = None
    _sample: ConnectionSample | None = None
    _error: TrackerError | None = None
    _sampled_at: float = 0.0
    _visited_at: float = float("-inf")
    _session_counts: deque[_SessionCount] = field(default_factory=lambda: deque(maxlen=64))
    _points: deque[Point] = field(default_factory=lambda: deque(maxlen=_MAX_POINTS))
    _stopped: bool = False

    def latest(self, timeout_s: float = 10.0) -> ConnectionSample:
        """The newest sample; waits if there is no recent one. Raises the `TrackerError` of the newest attempt."""
        with self._lock:
            self._visited_at = self.clock()
            is_recent = self.clock() - self._sampled_at < 2 * VISITED_INTERVAL_S
            if not is_recent or self._sample is None:
                last_attempt = self._sampled_at
                self._wake()
                self._lock.wait_for(lambda: self._sampled_at != last_attempt, timeout_s)
            if self._error is not None:
                raise self._error.copy()
            if self._sample is None:
                raise SettingError(Message("reports.first_sample_slow"))
            return self._sample

    def keep_awake(self) -> None:
        """Continue to sample at the idle interval. Called when any page is viewed."""
        with self._lock:
            self._visited_at = max(self._visited_at, self.clock() - _VISIT_S)
            if self._thread is None or not self._thread.is_alive():
                self._wake()

    def stop(self) -> None:
        """End the thread."""
        with self._lock:
            self._stopped = True
            self._lock.notify_all()

    def _wake(self) -> None:
        if self._thread is None or not self._thread.is_alive():
            self._thread = threading.Thread(target=self._run, name="tracker-sampler", daemon=True)
            self._thread.start()
        self._lock.notify_all()

    def _run(self) -> None:
        while not self._stopped and self.clock() - self._visited_at < _STOP_AFTER_S:
            try:
                result: ConnectionSample | TrackerError = self._take_sample()
                background_tasks.record_success("sample_connections")
            except TrackerError as error:
                background_tasks.record_failure("sample_connections", error)
                result = error.copy()
            except Exception as error:  # noqa: BLE001  an unexpected row ends one sample, not the thread
                background_tasks.record_failure("sample_connections", error)
                result = SettingError(Message("reports.sampling_failed", name=type(error).__name__))
            with self._lock:
                self._sampled_at = self.clock()
                self._error = result if isinstance(result, TrackerError) else None
                if isinstance(result, ConnectionSample):
                    self._sample = result
                self._lock.notify_all()
                self._wait_until_due()

    def _wait_until_due(self) -> None:
        """Wait for the next sample's time; a visit during the wait shortens it."""
        while not self._stopped and (remaining_s := self._sampled_at + self._interval_s() - self.clock()) > 0:
            self._lock.wait(max(0.05, remaining_s))

    def _interval_s(self) -> float:
        return VISITED_INTERVAL_S if self.clock() - self._visited_at < _VISIT_S else IDLE_INTERVAL_S

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
