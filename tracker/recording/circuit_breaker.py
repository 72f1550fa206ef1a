"""Circuit breaker: while the database fails, records go to the outbox and only one probe at a time is tried."""

from __future__ import annotations

import time
from collections.abc import Callable

from tracker.errors import DatabaseError
from tracker.forks import fork_guard
from tracker.threads import CallLock

_FIRST_INTERVAL_S = 0.5
_MAX_INTERVAL_S = 15.0


class CircuitBreaker:
    """Open after a failure: records go straight to the outbox until a probe succeeds; the probe interval doubles.

    When closed, it costs one attribute access. Jitter prevents many instances from probing at the same time.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self.reset()

    def reset(self) -> None:
        """Close the circuit; also used in a forked child."""
        self._lock = CallLock()
        self._probe_at = 0.0
        self._interval_s = 0.0
        self.error: DatabaseError | None = None
        """The error that opened the circuit; None when it is closed."""

    def allow_request(self) -> bool:
        """Whether to try the database now; when open, one caller for each interval is the probe."""
        if self.error is None:
            return True
        with self._lock:
            now = self._clock()
            if now < self._probe_at:
                return False
            self._probe_at = now + max(self._interval_s, _FIRST_INTERVAL_S)
            return True

    def record_failure(self, error: DatabaseError) -> None:
        """Open the circuit, or double the interval until the next probe."""
        with fork_guard.importing:
            import random

        with self._lock:
            self.error = error.copy()
            self._interval_s = min(_MAX_INTERVAL_S, self._interval_s * 2 or _FIRST_INTERVAL_S)
            # A separate generator: the host may have seeded Python's global one.
            jitter = random.Random().uniform(0.5, 1)  # noqa: S311  jitter is no secret
            self._probe_at = self._clock() + self._interval_s * jitter

    def record_success(self) -> None:
        """Close the circuit."""
        if self.error is not None:
            with self._lock:
                self.error = None
                self._interval_s = 0.0
