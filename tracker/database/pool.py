"""The recorder's own small pool: few connections, last in first out, none older or idler than the policy says."""

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
from tracker.threads import AutoResetEvent, CallLock

# How often a thread that waits for a connection looks for one that an interrupted call has left.
_LOOK_S = 0.1


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
    """A connection on loan, and what getting it cost. The pool counts the leases that somebody still refers to."""

    __slots__ = ("__weakref__", "_connection", "_deadline", "connection_ms", "idle_since", "made_at")

    def __init__(self) -> None:
        self._connection: Connection | None = None
        self._deadline: Deadline | None = None
        self.made_at = 0.0
        self.idle_since = 0.0
        self.connection_ms = 0.0

    def fill(self, connection: Connection) -> None:
        """Take the connection that was made for this lease."""
        self.made_at = time.monotonic()
        self._deadline = Deadline(connection)
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
    def usable(self) -> bool:
        """Whether the connection is open, as far as this side knows."""
        return self._connection is not None and not self._connection.closed and not self.deadline.fired


class ConnectionPool:
    """Lends connections to threads; a lost, old or long idle one is replaced, and nothing is sent to find out.

    An interruption between any two bytecodes costs no place: the open connections are the idle ones and those whose
    lease still exists, and a thread that waits looks again at short intervals.
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
        lease = self._take_or_reserve(deadline)
        if not lease.made_at:
            self._make(lease, deadline)
        lease.connection_ms = elapsed_ms(started)
        return lease

    def _take_or_reserve(self, deadline: float) -> Lease:
        """A lease of an idle connection, or one without a connection and the right to make it."""
        event: AutoResetEvent | None = None
        while True:
            with self._lock:
                lease = self._usable()
                if lease is None and len(self._idle) + _count(self._lent) < self.policy.size:
                    lease = Lease()
                if lease is not None:
                    self._lent[id(lease)] = weakref.ref(lease)
                    return lease
            if event is None:  # then look again, since a connection may have come back before the event was known
                event = AutoResetEvent()
                self._waiting[id(event)] = weakref.ref(event)
            elif not event.wait(min(_LOOK_S, deadline - time.monotonic())) and time.monotonic() >= deadline:
                self._timeouts += 1
                raise TransientError(
                    "pool_exhausted",
                    f"All {self.policy.size} connections of this process stayed busy until the deadline.",
                    "Raise TRACKER_POOL_SIZE if the server has connections left.",
                )

    def _usable(self) -> Lease | None:
        now = time.monotonic()
        while True:
            try:
                lease = self._idle.pop()
            except IndexError:
                return None
            if not self._expired(lease, now) and not _hung_up(lease.connection):
                return lease
            lease.close()

    def _expired(self, lease: Lease, now: float) -> bool:
        lifetime = self.policy.max_lifetime_s
        too_old = lifetime is not None and now - lease.made_at >= lifetime
        return too_old or now - lease.idle_since >= self.policy.idle_timeout_s

    def _make(self, lease: Lease, deadline: float) -> None:
        started = time.perf_counter()
        remaining = max(0.05, deadline - time.monotonic())
        try:
            lease.fill(self._connect(min(self.policy.connect_timeout_s, remaining)))
        except BaseException:
            self.discard(lease)
            raise
        self._created += 1
        self._create_time_ms = elapsed_ms(started)

    def release(self, lease: Lease) -> None:
        """Take a connection back; one that was closed or cut meanwhile is dropped."""
        lease.idle_since = now = time.monotonic()
        if not lease.usable:
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
        """Close a connection that may be in the middle of something."""
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
        """Close what has been idle too long, so that a quiet process holds no connection."""
        with self._lock:
            now = time.monotonic()
            kept: list[Lease] = []
            for lease in self._idle:
                lease.close() if self._expired(lease, now) else kept.append(lease)
            self._idle[:] = kept
        if kept:
            self._reap_at = min(lease.idle_since for lease in kept) + self.policy.idle_timeout_s
            timer.schedule(self._reap_at, self._reap)

    def close(self) -> None:
        """Close the idle connections; those on loan are closed by age. The pool opens again when it is used."""
        with self._lock:
            while self._idle:
                self._idle.pop().close()
        self._wake_one()

    def stats(self) -> PoolStats:
        """The pool at this moment."""
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
        # The parent goes on using these sockets. Closing one here would end the parent's session, so they are kept.
        self._inherited += [*self._idle, *(reference() for reference in tuple(self._lent.values()))]
        self._reset()


T = TypeVar("T", Lease, AutoResetEvent)


def _count(references: dict[int, weakref.ref[T]]) -> int:
    """How many of the objects exist; references to others are removed. A callback instead could be interrupted."""
    for key, reference in tuple(references.items()):
        if reference() is None and references.get(key) is reference:
            references.pop(key, None)
    return len(references)


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
