"""One look at the connections for all readers: often while somebody watches, sparsely for the hours before.

It rests when nobody has looked for an hour: a database that may go to sleep shall be let.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from tracker.background_tasks import background_tasks
from tracker.errors import SettingError, TrackerError
from tracker.platforms import SERVERLESS
from tracker.reports.connections import pgbouncer
from tracker.reports.connections.advice import Advice, Instances, advise
from tracker.reports.connections.sessions import Session, Slots, by_state, sessions, slots
from tracker.reports.engine.reader import Reader

WATCHED_S = 2.5
UNWATCHED_S = 30.0
_STILL_WATCHED_S = 15.0
_REST_AFTER_S = 3600.0
_POINTS_S = 15.0
_POINTS = 1440  # six hours
_CHURN_OVER_S = 60.0
_SERVERLESS_POOL, _SERVER_POOL = 5, 15


@dataclass(frozen=True, slots=True)
class Point:
    """How many connections of each state there were at a moment (seconds of the epoch)."""

    at_s: float
    states: dict[str, int]


@dataclass(frozen=True, slots=True)
class Sample:
    """What one look found. `trouble` is why the last try failed; the rest is then what was seen before."""

    number: int
    at_s: float
    held: tuple[Session, ...]
    slots: Slots
    opened_per_minute: float | None
    advice: tuple[Advice, ...]
    pools: tuple[pgbouncer.Pool, ...] | None = None
    pools_trouble: str | None = None
    points: tuple[Point, ...] = ()


@dataclass(slots=True)
class _Counter:
    at_s: float
    sessions: int


@dataclass(slots=True)
class Sampler:
    """Samples in a daemon thread; every reader gets the same `Sample`."""

    reader: Reader
    clock: Callable[[], float] = time.monotonic
    _lock: threading.Condition = field(default_factory=threading.Condition)
    _thread: threading.Thread | None = None
    _sample: Sample | None = None
    _trouble: TrackerError | None = None
    _looked_at: float = 0.0
    _watched_at: float = float("-inf")
    _counters: deque[_Counter] = field(default_factory=lambda: deque(maxlen=64))
    _points: deque[Point] = field(default_factory=lambda: deque(maxlen=_POINTS))
    _stopped: bool = False

    def look(self, timeout_s: float = 10.0) -> Sample:
        """The newest sample; waits for the first. Raises the `TrackerError` that the newest try ended with."""
        with self._lock:
            self._watched_at = self.clock()
            fresh = self.clock() - self._looked_at < 2 * WATCHED_S
            if not fresh or self._sample is None:
                tried = self._looked_at
                self._wake()
                self._lock.wait_for(lambda: self._looked_at != tried, timeout_s)
            if self._trouble is not None:
                raise self._trouble.copy()
            if self._sample is None:
                raise SettingError("The connections can't be looked at: the first look takes too long.")
            return self._sample

    def touch(self) -> None:
        """Somebody reads some page: keep the sparse points coming."""
        with self._lock:
            self._watched_at = max(self._watched_at, self.clock() - _STILL_WATCHED_S)
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
        while not self._stopped and self.clock() - self._watched_at < _REST_AFTER_S:
            try:
                found: Sample | TrackerError = self._ask()
                background_tasks.record_success("sample_connections")
            except TrackerError as error:
                background_tasks.record_failure("sample_connections", error)
                found = error.copy()
            except Exception as error:  # noqa: BLE001  an odd row ends one sample, not the sampler
                background_tasks.record_failure("sample_connections", error)
                found = SettingError(f"The connections can't be sampled ({type(error).__name__}); the log has details.")
            with self._lock:
                self._looked_at = self.clock()
                self._trouble = found if isinstance(found, TrackerError) else None
                if isinstance(found, Sample):
                    self._sample = found
                self._lock.notify_all()
                self._pause()

    def _pause(self) -> None:
        """Until the next look is due; a reader who comes meanwhile makes it due sooner."""
        looked_at = self._looked_at

        def due() -> bool:
            watched = self.clock() - self._watched_at < _STILL_WATCHED_S
            return self._stopped or self.clock() - looked_at >= (WATCHED_S if watched else UNWATCHED_S)

        while not due():
            watched = self.clock() - self._watched_at < _STILL_WATCHED_S
            left = looked_at + (WATCHED_S if watched else UNWATCHED_S) - self.clock()
            self._lock.wait(max(0.05, left))

    def _ask(self) -> Sample:
        held = sessions(self.reader)
        limits = slots(self.reader, held)
        now = time.time()
        if not self._points or now - self._points[-1].at_s >= _POINTS_S:
            self._points.append(Point(now, by_state(held)))
        pools, pools_trouble = self._pools()
        return Sample(
            number=self._sample.number + 1 if self._sample else 1,
            at_s=now,
            held=held,
            slots=limits,
            opened_per_minute=self._churn(),
            advice=advise(held, limits, self._instances(), self.reader.database.url),
            pools=pools,
            pools_trouble=pools_trouble,
            points=tuple(self._points),
        )

    def _churn(self) -> float | None:
        """Sessions opened a minute, over the last minute or as long as we know."""
        found = self.reader.rows("churn")[0]
        if found["sessions"] is None:
            return None
        self._counters.append(_Counter(found["at_s"], found["sessions"]))
        newest = self._counters[-1]
        earlier = [counter for counter in self._counters if newest.at_s - counter.at_s <= _CHURN_OVER_S + UNWATCHED_S]
        passed_s = newest.at_s - earlier[0].at_s
        if passed_s < WATCHED_S:
            return None
        return max(0.0, (newest.sessions - earlier[0].sessions) / passed_s * 60)

    def _instances(self) -> list[Instances]:
        try:
            found = self.reader.rows("instances")
        except TrackerError:  # without our table there still are connections to look at
            return []
        settings = self.reader.database.settings
        return [
            Instances(
                f"{row['platform']} {row['environment']} {row['deployment']}",
                row["instances"],
                settings.pool_size
                if row["platform"] == settings.runtime.platform
                else (_SERVERLESS_POOL if row["platform"] in SERVERLESS else _SERVER_POOL),
            )
            for row in found
        ]

    def _pools(self) -> tuple[tuple[pgbouncer.Pool, ...] | None, str | None]:
        try:
            return pgbouncer.pools(self.reader.database.settings, self.reader.name), None
        except TrackerError as error:
            return None, str(error)


_shared: Sampler | None = None
_shared_lock = threading.Lock()


def shared(reader: Reader) -> Sampler:
    """The process's one Sampler of a Reader; that of an earlier one is stopped."""
    global _shared
    with _shared_lock:
        if _shared is None or _shared.reader is not reader:
            if _shared is not None:
                _shared.stop()
            _shared = Sampler(reader)
        return _shared


def forget() -> None:
    """Stop the shared Sampler; the next `shared` makes a new one."""
    global _shared
    with _shared_lock:
        if _shared is not None:
            _shared.stop()
        _shared = None
