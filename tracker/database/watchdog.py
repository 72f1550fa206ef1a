"""Runs scheduled actions in one daemon thread per process: cut a hanging connection, close idle ones."""

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
from tracker.messages import Message

if TYPE_CHECKING:
    from types import TracebackType

    from tracker.database.connect import Connection

# A lock's wait has a platform limit, and a wake-up per minute is cheap.
_MAX_WAIT_S = 60.0


class Timer:
    """Runs short actions at scheduled times (`time.monotonic`) in a permanent thread.

    From Python 3.12 on, no thread can start while the process exits, which is when the last records are delivered.
    There is no lock, so that an interruption can't leave one locked: each step is atomic. A dead thread is replaced.
    """

    def __init__(self) -> None:
        self._reset()

    def _reset(self) -> None:
        self._wake_event = threads.AutoResetEvent()
        self._tasks: list[tuple[float, int, Callable[[], None]]] = []
        self._numbers = itertools.count()
        self._next_wake_at = float("inf")
        self._thread = threads.OnDemandThread(self._run, "tracker-timer")

    def ensure_thread(self) -> bool:
        """Start the thread if it does not run; False if no thread can be started."""
        return self._thread.ensure_running()

    def schedule(self, when: float, action: Callable[[], None]) -> bool:
        """Run `action` at `when`; False if no thread can be started.

        An action can't be cancelled: it checks itself whether it is still needed.
        """
        if not self.ensure_thread():
            return False
        heapq.heappush(self._tasks, (when, next(self._numbers), action))
        if when < self._next_wake_at:
            self._wake_event.set()
        return True

    def _run(self) -> None:
        while True:
            self._next_wake_at = self._tasks[0][0] if self._tasks else float("inf")
            # Read again: `schedule` may have added a task before `_next_wake_at` was set.
            next_at = self._tasks[0][0] if self._tasks else float("inf")
            if next_at >= self._next_wake_at:
                self._wake_event.wait(min(next_at - time.monotonic(), _MAX_WAIT_S))
            if not self._thread.is_current():
                self._wake_event.set()  # the wake-up may be for the current thread
                return
            self._run_due_tasks()

    def _run_due_tasks(self) -> None:
        while self._tasks and self._tasks[0][0] <= time.monotonic():
            with suppress(Exception):  # other deadlines depend on this thread
                heapq.heappop(self._tasks)[2]()


timer = Timer()
# A thread doesn't survive a fork, and its lock may be locked: the child starts with a new state.
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=timer._reset)  # noqa: SLF001  the module's own object


class Deadline:
    """Shuts a connection's socket down at a deadline unless the block has ended, so that no statement hangs.

    libpq has no timeout for a peer that acknowledges and never answers. One object serves many statements in sequence,
    so the timer has one task for it, not one for each statement.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._cut_at: float | None = None
        self._scheduled_for = float("inf")
        self.fired = False

    def __call__(self, cut_at: float) -> Deadline:
        """Raises `SetupError` if the timer thread can't be started."""
        self._cut_at = cut_at
        if cut_at <= time.monotonic():
            self._cut_if_overdue()
            return self
        # A scheduled time in the past means that an interruption prevented the scheduling.
        unscheduled = cut_at < self._scheduled_for or self._scheduled_for < time.monotonic() - 1
        if unscheduled and not self._schedule(cut_at):
            raise SetupError(
                "no_thread",
                Message("database.no_thread"),
                Message("database.no_thread.remedy"),
            )
        return self

    def _schedule(self, when: float) -> bool:
        self._scheduled_for = when
        # A weak reference: an abandoned connection is closed at once, not at its deadline.
        cut_if_overdue = weakref.WeakMethod(self._cut_if_overdue)

        def run() -> None:
            if (method := cut_if_overdue()) is not None:
                method()

        scheduled = timer.schedule(when, run)
        if not scheduled:
            self._scheduled_for = float("inf")
        return scheduled

    def __enter__(self) -> Deadline:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._cut_at = None

    def _cut_if_overdue(self) -> None:
        """Shut the socket down if the deadline has passed; reschedule if a later statement runs.

        There is no lock, since this thread must never wait for an interrupted call. A statement that ends at the same
        time may lose its connection: then `fired` is True, and the pool discards it.
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
    # The shutdown wakes the thread that waits on the socket; its connection is then closed. The descriptor itself is
    # used, not a duplicate, so that this works without a free descriptor.
    with suppress(OSError, ValueError, *_driver_errors()):
        sock = socket.socket(fileno=connection.fileno())
        try:
            sock.shutdown(socket.SHUT_RDWR)
        finally:
            sock.detach()


def _driver_errors() -> tuple[type[Exception], ...]:
    from tracker.database.connect import DriverError

    return (DriverError,)
