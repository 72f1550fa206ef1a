"""One daemon thread a process that does things at their time: cut a hanging connection, close idle ones."""

from __future__ import annotations

import heapq
import itertools
import os
import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from types import TracebackType

    from tracker.database.driver import Connection

# A thread with nothing to do ends after this long; the next task starts another.
_LINGER_S = 60.0


class Timer:
    """Runs actions at their time, on `time.monotonic`; actions must be short and may not raise."""

    def __init__(self) -> None:
        self._reset()

    def _reset(self) -> None:
        self._changed = threading.Condition()
        self._tasks: list[tuple[float, int, Callable[[], None]]] = []
        self._numbers = itertools.count()
        self._wakes_at = float("inf")
        self._running = False

    def at(self, when: float, action: Callable[[], None]) -> None:
        """Run `action` at `when`. It can't be taken back: an action looks itself whether it is still wanted."""
        with self._changed:
            heapq.heappush(self._tasks, (when, next(self._numbers), action))
            if not self._running:
                # While the interpreter ends no thread can be started, and nothing hangs for long.
                with suppress(RuntimeError):
                    threading.Thread(target=self._run, name="tracker-timer", daemon=True).start()
                    self._running = True
            elif when < self._wakes_at:
                self._changed.notify()

    def _run(self) -> None:
        while (due := self._next_due()) is not None:
            for action in due:
                action()

    def _next_due(self) -> list[Callable[[], None]] | None:
        """Wait for the next time that something is due; None when there was nothing for a while."""
        with self._changed:
            while True:
                now = time.monotonic()
                due = []
                while self._tasks and self._tasks[0][0] <= now:
                    due.append(heapq.heappop(self._tasks)[2])
                if due:
                    return due
                self._wakes_at = self._tasks[0][0] if self._tasks else now + _LINGER_S
                # No lock waits for as long as a caller may name; waking for nothing once a minute is cheap.
                notified = self._changed.wait(min(self._wakes_at - now, _LINGER_S))
                if not notified and not self._tasks:
                    self._running = False
                    return None


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
        self._lock = threading.RLock()
        self._cut_at: float | None = None
        self._scheduled_for = float("inf")
        self.fired = False

    def __call__(self, cut_at: float) -> Deadline:
        with self._lock:
            self._cut_at = cut_at
            schedule = cut_at < self._scheduled_for
            if schedule:
                self._scheduled_for = cut_at
        if schedule:
            timer.at(cut_at, self._look)
        return self

    def __enter__(self) -> Deadline:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        with self._lock:
            self._cut_at = None

    def _look(self) -> None:
        """At the scheduled time: cut if overdue, look again later if a later statement is under way."""
        with self._lock:
            self._scheduled_for = float("inf")
            if self._cut_at is None:
                return
            if self._cut_at <= time.monotonic():
                self.fired = True
                _cut(self._connection)
                return
            self._scheduled_for = again = self._cut_at
        timer.at(again, self._look)


def _cut(connection: Connection) -> None:
    # Shutting down a duplicate wakes the thread that waits on the original, which then finds the connection closed.
    with suppress(OSError, ValueError, *_driver_errors()):
        sock = socket.socket(fileno=os.dup(connection.fileno()))
        with sock:
            sock.shutdown(socket.SHUT_RDWR)


def _driver_errors() -> tuple[type[Exception], ...]:
    from tracker.database.driver import DriverError

    return (DriverError,)
