"""While the database is known to be down, records don't wait for it: one of them tries now and then."""

from __future__ import annotations

import time
from collections.abc import Callable

from tracker.errors import DatabaseError
from tracker.threads import CallLock, fork_guard

_FIRST_S = 0.5
_LONGEST_S = 15.0


class CircuitBreaker:
    """Open after a failure: records go straight to the outbox until a probe, in ever longer steps, succeeds.

    Closed, it costs one attribute. The jitter keeps many instances from probing at the same moment.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self.reset()

    def reset(self) -> None:
        """Begin anew, also in a forked child."""
        self._lock = CallLock()
        self._probe_at = 0.0
        self._step_s = 0.0
        self.error: DatabaseError | None = None
        """Why it is open, None when it is closed."""

    def allow_request(self) -> bool:
        """Whether to try the database now; when open, one caller a step is the probe."""
        if self.error is None:
            return True
        with self._lock:
            now = self._clock()
            if now < self._probe_at:
                return False
            self._probe_at = now + max(self._step_s, _FIRST_S)
            return True

    def record_failure(self, error: DatabaseError) -> None:
        """The database failed: open, or stay open for longer."""
        with fork_guard.importing:
            import random

        with self._lock:
            self.error = error.copy()
            self._step_s = min(_LONGEST_S, self._step_s * 2 or _FIRST_S)
            # A generator of our own: the host may have seeded Python's.
            jitter = random.Random().uniform(0.5, 1)  # noqa: S311  jitter is no secret
            self._probe_at = self._clock() + self._step_s * jitter

    def record_success(self) -> None:
        """The database answered."""
        if self.error is not None:
            with self._lock:
                self.error = None
                self._step_s = 0.0
