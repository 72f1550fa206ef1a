"""The recorder's own small pool: few connections, last in first out, none older or idler than the policy says."""

from __future__ import annotations

import os
import select
import threading
import time
import weakref
from collections.abc import Callable
from typing import NamedTuple

from tracker.database.driver import Connection, elapsed_ms
from tracker.database.timer import Deadline, timer
from tracker.errors import TransientError


class PoolPolicy(NamedTuple):
    """How many connections and for how long. Times are seconds, None means without limit."""

    size: int
    connect_timeout_s: float
    idle_timeout_s: float
    max_lifetime_s: float | None


class PoolStats(NamedTuple):
    """The pool by OpenTelemetry's names for `db.client.connection.*`; times are milliseconds."""

    max: int
    idle: int
    used: int
    pending_requests: int
    timeouts: int
    created: int
    create_time_ms: float | None
    """Of the last connection made."""


class Lease:
    """A connection on loan, and what getting it cost."""

    __slots__ = ("connection", "connection_ms", "deadline", "idle_since", "made_at")

    def __init__(self, connection: Connection, made_at: float, deadline: Deadline) -> None:
        self.connection = connection
        self.made_at = made_at
        self.deadline = deadline
        self.idle_since = 0.0
        self.connection_ms = 0.0


class ConnectionPool:
    """Lends connections to threads; a lost, old or long idle one is replaced, and nothing is sent to find out."""

    def __init__(self, connect: Callable[[float], Connection], policy: PoolPolicy) -> None:
        self._connect = connect
        self.policy = policy
        self._created = 0
        self._timeouts = 0
        self._create_time_ms: float | None = None
        self._inherited: list[Lease] = []
        self._reset()
        _pools.add(self)

    def _reset(self) -> None:
        self._changed = threading.Condition()
        self._idle: list[Lease] = []
        self._open = 0
        self._pending = 0
        self._reaping = False

    def acquire(self, deadline: float) -> Lease:
        """Lend a usable connection before `deadline` (`time.monotonic`). Raises `DatabaseError`."""
        started = time.perf_counter()
        lease = self._take_or_reserve(deadline)
        if lease is None:
            lease = self._make(deadline)
        lease.connection_ms = elapsed_ms(started)
        return lease

    def _take_or_reserve(self, deadline: float) -> Lease | None:
        """An idle connection, or None and the right to make one."""
        with self._changed:
            while True:
                if (lease := self._usable()) is not None:
                    return lease
                if self._open < self.policy.size:
                    self._open += 1
                    return None
                self._pending += 1
                try:
                    freed = self._changed.wait(max(0.0, deadline - time.monotonic()))
                finally:
                    self._pending -= 1
                if not freed and time.monotonic() >= deadline:
                    self._timeouts += 1
                    raise TransientError(
                        "pool_exhausted",
                        f"All {self.policy.size} connections of this process stayed busy until the deadline.",
                        "Raise TRACKER_POOL_SIZE if the server has connections left.",
                    )

    def _usable(self) -> Lease | None:
        now = time.monotonic()
        while self._idle:
            lease = self._idle.pop()
            if not self._expired(lease, now) and not _hung_up(lease.connection):
                return lease
            self._close(lease)
        return None

    def _expired(self, lease: Lease, now: float) -> bool:
        lifetime = self.policy.max_lifetime_s
        too_old = lifetime is not None and now - lease.made_at >= lifetime
        return too_old or now - lease.idle_since >= self.policy.idle_timeout_s

    def _make(self, deadline: float) -> Lease:
        started = time.perf_counter()
        remaining = max(0.05, deadline - time.monotonic())
        try:
            connection = self._connect(min(self.policy.connect_timeout_s, remaining))
        except BaseException:
            with self._changed:
                self._open -= 1
                self._changed.notify()
            raise
        with self._changed:
            self._created += 1
            self._create_time_ms = elapsed_ms(started)
        return Lease(connection, time.monotonic(), Deadline(connection))

    def release(self, lease: Lease) -> None:
        """Take a connection back; one that was closed or cut meanwhile is dropped."""
        lease.idle_since = time.monotonic()
        with self._changed:
            if lease.connection.closed or lease.deadline.fired:
                self._close(lease)
            else:
                self._idle.append(lease)
            self._changed.notify()
            reap = bool(self._idle) and not self._reaping
            self._reaping = self._reaping or reap
        if reap:
            timer.at(lease.idle_since + self.policy.idle_timeout_s, self._reap)

    def _reap(self) -> None:
        """Close what has been idle too long, so that a quiet process holds no connection."""
        with self._changed:
            now = time.monotonic()
            for lease in [lease for lease in self._idle if self._expired(lease, now)]:
                self._idle.remove(lease)
                self._close(lease)
            self._reaping = bool(self._idle)
            again = min((lease.idle_since for lease in self._idle), default=now) + self.policy.idle_timeout_s
        if self._reaping:
            timer.at(again, self._reap)

    def _close(self, lease: Lease) -> None:
        self._open -= 1
        lease.connection.close()

    def close(self) -> None:
        """Close the idle connections; those on loan are closed by age. The pool opens again when it is used."""
        with self._changed:
            while self._idle:
                self._close(self._idle.pop())

    def stats(self) -> PoolStats:
        """The pool at this moment."""
        with self._changed:
            idle = len(self._idle)
            return PoolStats(
                max=self.policy.size,
                idle=idle,
                used=self._open - idle,
                pending_requests=self._pending,
                timeouts=self._timeouts,
                created=self._created,
                create_time_ms=self._create_time_ms,
            )

    def _after_fork(self) -> None:
        # The parent goes on using these sockets. Closing one here would end the parent's session, so they are kept.
        self._inherited += self._idle
        self._reset()


def _hung_up(connection: Connection) -> bool:
    """Whether the server has said something while nobody asked, which is how it says goodbye. Sends nothing."""
    if connection.closed:
        return True
    if not hasattr(select, "poll"):
        return False
    poller = select.poll()
    poller.register(connection.fileno(), select.POLLIN)
    return bool(poller.poll(0))


_pools: weakref.WeakSet[ConnectionPool] = weakref.WeakSet()


def _after_fork_in_child() -> None:
    for pool in _pools:
        pool._after_fork()  # noqa: SLF001  the module's own class


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
