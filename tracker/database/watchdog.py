"""One daemon thread a process that does things at their time: cut a hanging connection, close idle ones."""

from __future__ import annotations

import heapq
import itertools
import os
import socket
import time
import weakref
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING

from tracker import threads
from tracker.errors import SetupError

if TYPE_CHECKING:
    from types import TracebackType

    from tracker.database.connect import Connection

# No lock waits for as long as a caller may name; waking for nothing once a minute is cheap.
_LONGEST_WAIT_S = 60.0


class Timer:
    """Runs short actions at their time, on `time.monotonic`, in a thread that stays.

    From Python 3.12 on no thread can be started once the process ends, just when the last records are delivered.
    There is no lock: each step is atomic, so that no interruption leaves one behind. A thread that ended is replaced.
    """

    def __init__(self) -> None:
        self._reset()

    def _reset(self) -> None:
        self._wake_event = threads.AutoResetEvent()
        self._tasks: list[tuple[float, int, Callable[[], None]]] = []
        self._numbers = itertools.count()
        self._wakes_at = float("inf")
        self._thread = threads.OnDemandThread(self._run, "tracker-timer")

    def ensure_thread(self) -> bool:
        """See to it that the thread is there; False when none can be had."""
        return self._thread.ensure_running()

    def schedule(self, when: float, action: Callable[[], None]) -> bool:
        """Run `action` at `when`; False when nobody will, since no thread can be had.

        It can't be taken back: an action looks itself whether it is still wanted.
        """
        if not self.ensure_thread():
            return False
        heapq.heappush(self._tasks, (when, next(self._numbers), action))
        if when < self._wakes_at:
            self._wake_event.set()
        return True

    def _run(self) -> None:
        while True:
            self._wakes_at = self._tasks[0][0] if self._tasks else float("inf")
            # Again, since a task may have come before `at` could know until when this thread waits.
            next_at = self._tasks[0][0] if self._tasks else float("inf")
            if next_at >= self._wakes_at:
                self._wake_event.wait(min(next_at - time.monotonic(), _LONGEST_WAIT_S))
            if not self._thread.is_current():
                self._wake_event.set()  # this may have been meant for the thread that stays
                return
            self._run_due()

    def _run_due(self) -> None:
        while self._tasks and self._tasks[0][0] <= time.monotonic():
            with suppress(Exception):  # the others' deadlines depend on this thread
                heapq.heappop(self._tasks)[2]()


timer = Timer()
# A thread doesn't survive a fork, and its lock may have been held: the child begins anew.
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=timer._reset)  # noqa: SLF001  the module's own object


class Deadline:
    """Cuts a connection's socket at a time unless the block ended before: the end of every hang.

    Nothing in libpq ends the wait for a peer that acknowledges and never answers. The object is used for many
    statements one after another, so the timer holds one task for it, not one a statement.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._cut_at: float | None = None
        self._scheduled_for = float("inf")
        self.fired = False

    def __call__(self, cut_at: float) -> Deadline:
        """Raises `SetupError` where no thread can be had that would do the cutting."""
        self._cut_at = cut_at
        if cut_at <= time.monotonic():
            self._look()
            return self
        # A time that has passed was never scheduled: its call was interrupted.
        unscheduled = cut_at < self._scheduled_for or self._scheduled_for < time.monotonic() - 1
        if unscheduled and not self._schedule(cut_at):
            raise SetupError(
                "no_thread",
                "This process has no thread left or ends, and without one nothing would end a hang.",
                "Raise its limit of threads.",
            )
        return self

    def _schedule(self, when: float) -> bool:
        self._scheduled_for = when
        # Held weakly: a connection that was given up is closed at once, not when its deadline comes.
        look = weakref.WeakMethod(self._look)

        def act() -> None:
            if (still_there := look()) is not None:
                still_there()

        scheduled = timer.schedule(when, act)
        if not scheduled:
            self._scheduled_for = float("inf")
        return scheduled

    def __enter__(self) -> Deadline:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._cut_at = None

    def _look(self) -> None:
        """At the scheduled time: cut if overdue, look again later if a later statement is under way.

        Without a lock, since this thread must never wait for a call that was interrupted. A statement that ends in
        this very moment may lose its connection: then `fired` says so, and the pool drops it.
        """
        self._scheduled_for = float("inf")
        cut_at = self._cut_at
        if cut_at is None:
            return
        if cut_at > time.monotonic():
            self._schedule(cut_at)
        elif self._cut_at == cut_at:
            self.fired = True
            _cut(self._connection)


def _cut(connection: Connection) -> None:
    # The shutdown wakes the thread that waits on the socket, which then finds the connection closed. The descriptor
    # itself is used, not a duplicate, since a process that has none left must not hang for that.
    with suppress(OSError, ValueError, *_driver_errors()):
        sock = socket.socket(fileno=connection.fileno())
        try:
            sock.shutdown(socket.SHUT_RDWR)
        finally:
            sock.detach()


def _driver_errors() -> tuple[type[Exception], ...]:
    from tracker.database.connect import DriverError

    return (DriverError,)
