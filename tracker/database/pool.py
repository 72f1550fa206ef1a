"""The recorder's connection pool: few connections, last in first out, with limits for age and idle time."""

from __future__ import annotations

import os
import select
import time
import weakref
from collections.abc import Callable
from typing import NamedTuple, TypeVar

from tracker.database.connect import Connection, elapsed_ms
from tracker.database.watchdog import Deadline, timer
from tracker.errors import TransientError
from tracker.messages import Message
from tracker.threads import AutoResetEvent, CallLock

# How often a waiting thread checks for a connection that an interrupted call has returned.
_POLL_S = 0.1


class PoolPolicy(NamedTuple):
    """The limits of a pool. Times are seconds; None means no limit."""

    size: int
    connect_timeout_s: float
    idle_timeout_s: float
    max_lifetime_s: float | None


class PoolStats(NamedTuple):
    """The state of a pool, with OpenTelemetry's names for `db.client.connection.*`; times are milliseconds."""

    max: int
    idle: int
    used: int
    pending_requests: int
    timeouts: int
    created: int
    create_time_ms: float | None
    """Of the last connection made."""


class Lease:
    """A borrowed connection and the time that it took to get it. The pool counts the leases that are referenced."""

    __slots__ = ("__weakref__", "_connection", "_deadline", "_poller", "connection_ms", "idle_since", "made_at")

    def __init__(self) -> None:
        self._connection: Connection | None = None
        self._deadline: Deadline | None = None
        self._poller: select.poll | None = None
        self.made_at = 0.0
        self.idle_since = 0.0
        self.connection_ms = 0.0

    def set_connection(self, connection: Connection) -> None:
        """Set the connection that was opened for this lease."""
        self.made_at = time.monotonic()
        self._deadline = Deadline(connection)
        if hasattr(select, "poll"):
            self._poller = select.poll()
            self._poller.register(connection.fileno(), select.POLLIN)
        self._connection = connection

    @property
    def connection(self) -> Connection:
        assert self._connection is not None  # noqa: S101  a lease is lent only with its connection
        return self._connection

    @property
    def deadline(self) -> Deadline:
        assert self._deadline is not None  # noqa: S101  a lease is lent only with its connection
        return self._deadline

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()

    @property
    def is_usable(self) -> bool:
        """Whether the connection is open as far as the client knows."""
        return self._connection is not None and not self._connection.closed and not self.deadline.fired

    @property
    def is_closed_by_server(self) -> bool:
        """Whether the server closed the connection: unrequested data is its goodbye message. Sends nothing."""
        return bool(self.connection.closed) or (self._poller is not None and bool(self._poller.poll(0)))


class ConnectionPool:
    """Lends connections to threads; replaces lost, old and idle ones without sending a query to check them.

    An interruption between any two bytecodes loses no capacity: the open connections are the idle ones and those whose
    lease still exists, and a waiting thread polls at short intervals.
    """

    def __init__(self, connect: Callable[[float], Connection], policy: PoolPolicy) -> None:
        self._connect = connect
        self.policy = policy
        self._created = 0
        self._timeouts = 0
        self._create_time_ms: float | None = None
        self._inherited: list[object] = []
        self._reset()
        _pools.add(self)

    def _reset(self) -> None:
        self._lock = CallLock()
        self._idle: list[Lease] = []
        self._lent: dict[int, weakref.ref[Lease]] = {}
        self._waiting: dict[int, weakref.ref[AutoResetEvent]] = {}
        self._reap_at = float("-inf")

    def acquire(self, deadline: float) -> Lease:
        """Lend a usable connection before `deadline` (`time.monotonic`). Raises `DatabaseError`."""
        started = time.perf_counter()
        lease = self._take_idle_or_reserve(deadline)
        if not lease.made_at:
            self._open(lease, deadline)
        lease.connection_ms = elapsed_ms(started)
        return lease

    def _take_idle_or_reserve(self, deadline: float) -> Lease:
        """A lease of an idle connection, or an empty lease for which the caller opens a connection."""
        event: AutoResetEvent | None = None
        while True:
            with self._lock:
                lease = self._pop_usable()
                if lease is None and len(self._idle) + _count(self._lent) < self.policy.size:
                    lease = Lease()
                if lease is not None:
                    self._lent[id(lease)] = weakref.ref(lease)
                    return lease
            if event is None:  # check again: a connection may have been returned before the event was registered
                event = AutoResetEvent()
                self._waiting[id(event)] = weakref.ref(event)
            elif not event.wait(min(_POLL_S, deadline - time.monotonic())) and time.monotonic() >= deadline:
                self._timeouts += 1
                raise TransientError(
                    "pool_exhausted",
                    Message("database.pool_exhausted", size=self.policy.size),
                    Message("database.pool_exhausted.remedy"),
                )

    def _pop_usable(self) -> Lease | None:
        now = time.monotonic()
        while True:
            try:
                lease = self._idle.pop()
            except IndexError:
                return None
            if not self._is_expired(lease, now) and not lease.is_closed_by_server:
                return lease
            lease.close()

    def _is_expired(self, lease: Lease, now: float) -> bool:
        lifetime = self.policy.max_lifetime_s
        too_old = lifetime is not None and now - lease.made_at >= lifetime
        return too_old or now - lease.idle_since >= self.policy.idle_timeout_s

    def _open(self, lease: Lease, deadline: float) -> None:
        started = time.perf_counter()
        remaining = max(0.05, deadline - time.monotonic())
        try:
            lease.set_connection(self._connect(min(self.policy.connect_timeout_s, remaining)))
        except BaseException:
            self.discard(lease)
            raise
        self._created += 1
        self._create_time_ms = elapsed_ms(started)

    def release(self, lease: Lease) -> None:
        """Return a connection to the pool; a closed one is discarded."""
        lease.idle_since = now = time.monotonic()
        if not lease.is_usable:
            self.discard(lease)
            return
        with self._lock:
            if self._lent.pop(id(lease), None) is not None:  # not one from before a fork
                self._idle.append(lease)
        self._wake_one()
        if self._reap_at < now:
            self._reap_at = now + self.policy.idle_timeout_s
            timer.schedule(self._reap_at, self._reap)

    def discard(self, lease: Lease) -> None:
        """Close a connection that may be inside a statement or transaction."""
        lease.close()
        self._lent.pop(id(lease), None)
        self._wake_one()

    def _wake_one(self) -> None:
        for reference in tuple(self._waiting.values()):
            if (event := reference()) is not None:
                self._waiting.pop(id(event), None)
                event.set()
                return

    def _reap(self) -> None:
        """Close connections that have been idle too long, so that an idle process keeps no connection."""
        with self._lock:
            now = time.monotonic()
            remaining: list[Lease] = []
            for lease in self._idle:
                lease.close() if self._is_expired(lease, now) else remaining.append(lease)
            self._idle[:] = remaining
        if remaining:
            self._reap_at = min(lease.idle_since for lease in remaining) + self.policy.idle_timeout_s
            timer.schedule(self._reap_at, self._reap)

    def close(self) -> None:
        """Close the idle connections; borrowed ones are closed by age. The next use reopens the pool."""
        with self._lock:
            while self._idle:
                self._idle.pop().close()
        self._wake_one()

    def stats(self) -> PoolStats:
        """The current state of the pool."""
        return PoolStats(
            max=self.policy.size,
            idle=len(self._idle),
            used=_count(self._lent),
            pending_requests=_count(self._waiting),
            timeouts=self._timeouts,
            created=self._created,
            create_time_ms=self._create_time_ms,
        )

    def _after_fork(self) -> None:
        # The parent still uses these sockets. Closing one here would end the parent's session, so they stay open.
        self._inherited += [*self._idle, *(reference() for reference in tuple(self._lent.values()))]
        self._reset()


T = TypeVar("T", Lease, AutoResetEvent)


def _count(references: dict[int, weakref.ref[T]]) -> int:
    """How many of the objects exist; removes dead references. (A weakref callback could be interrupted.)"""
    for key, reference in tuple(references.items()):
        if reference() is None and references.get(key) is reference:
            references.pop(key, None)
    return len(references)


_pools: weakref.WeakSet[ConnectionPool] = weakref.WeakSet()


def _after_fork_in_child() -> None:
    for pool in _pools:
        pool._after_fork()  # noqa: SLF001  the module's own class


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
