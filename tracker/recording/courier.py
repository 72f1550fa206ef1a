"""The thread that empties the outbox: wakes when something waits, slows down while the database doesn't answer."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable
from contextlib import suppress

from tracker import threads
from tracker.database.timer import timer

# Records that come in this time travel together; it also bounds how often the thread disturbs the others.
GATHER_S = 0.05
_LONGEST_WAIT_S = 5.0
# A generator of our own: a host that has seeded Python's must get the numbers that it would get without us.
_DICE = random.Random()  # noqa: S311  jitter is no secret
_LINGER_S = 60.0
_BUSY_S = 0.25


class Courier:
    """Calls `round(deadline)` until nothing waits; an exception is told to `on_trouble` and followed by a pause."""

    def __init__(
        self,
        deliver: Callable[[float], bool | None],
        on_trouble: Callable[[Exception, float], None],
        round_s: float,
    ) -> None:
        self._deliver = deliver
        self._on_trouble = on_trouble
        self._round_s = round_s
        self.reset()

    def reset(self) -> None:
        """Begin anew, also in a forked child, where the thread is gone."""
        self._changed = (
            threading.Condition()
        )  # its lock can be taken again: a signal handler may close us at any moment
        self._running = False
        self._awake = False
        self._hurry = False
        self._stopping = False
        self._failing_since: float | None = None
        self._pause_s = 0.0

    def wake(self, *, now: bool = False) -> None:
        """Something waits; `now` ends a pause."""
        if self._awake and not now and not self._stopping:
            return
        with self._changed:
            self._awake = True
            self._hurry = self._hurry or now
            self._stopping = False
            if not self._running:
                self._begin()
            self._changed.notify_all()

    def _begin(self) -> None:
        timer.begin()  # while the process ends, when the rest is delivered, it couldn't
        self._running = threads.start(self._run, "tracker-delivery")
        self._awake = self._running  # without a thread what waits lies safe, and the next wake tries again

    def stop(self) -> None:
        """End the thread after its present round."""
        with self._changed:
            self._stopping = True
            self._changed.notify_all()

    def _run(self) -> None:
        try:
            while self._asleep():
                self._wait(GATHER_S)
                self._awake = False
                while not self._stopping and self._once():
                    pass
        except BaseException:  # the next wake begins another
            self._running = self._awake = False
            raise

    def _asleep(self) -> bool:
        """Wait for something to do; False when there was nothing for a while, or nothing is to be done any more."""
        with self._changed:
            self._changed.wait_for(lambda: self._awake or self._stopping, _LINGER_S)
            if self._stopping or not self._awake:
                self._running = self._awake = False
                return False
            return True

    def _once(self) -> bool:
        """One round; whether another is needed."""
        try:
            more = self._deliver(time.monotonic() + self._round_s)
        except Exception as error:  # noqa: BLE001  the thread must outlive whatever happens
            now = time.monotonic()
            self._failing_since = now if self._failing_since is None else self._failing_since
            with suppress(Exception):  # a handler of the host's own log may raise anything
                self._on_trouble(error, now - self._failing_since)
            self._pause_s = min(_LONGEST_WAIT_S, self._pause_s * 2 or 0.1)
            self._wait(self._pause_s * _DICE.uniform(0.5, 1))
            return True
        self._failing_since, self._pause_s = None, 0.0
        if more is None:
            self._wait(_BUSY_S)  # another process is at it; afterwards we look ourselves
        return more is not False

    def _wait(self, seconds: float) -> None:
        with self._changed:
            self._changed.wait_for(lambda: self._hurry or self._stopping, seconds)
            self._hurry = False
