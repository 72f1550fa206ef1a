"""The lock under which one process at a time drains an outbox, with a heartbeat and a generation.

The kernel releases the lock of a process that ends, but not that of one that is stopped. Its holder therefore writes a
heartbeat with each batch. When the heartbeat is too old, another process goes on under the next generation, which has
a lock file of its own. The earlier holder finds that its generation is over before it changes anything more.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from tracker.errors import OutboxError

if TYPE_CHECKING:
    import sqlite3

    from tracker.recording.outbox.sqlite_file import OutboxFile

STALE_S = 60.0
TABLE = "CREATE TABLE IF NOT EXISTS drain (one INTEGER PRIMARY KEY CHECK (one = 1), generation INTEGER, beat_at REAL)"
_READ = "SELECT generation, beat_at FROM drain"
_BEAT = "UPDATE drain SET beat_at = ? WHERE generation = ?"
_TAKE_OVER = (
    "INSERT INTO drain VALUES (1, ?, ?) ON CONFLICT (one) DO UPDATE SET generation = excluded.generation,"
    " beat_at = excluded.beat_at WHERE generation = ? AND beat_at IS ?"
)


class DrainLease:
    """One hold of the drain lock."""

    def __init__(self, file: OutboxFile, generation: int, descriptor: int | None) -> None:
        self._file = file
        self._descriptor = descriptor
        self.generation = generation

    def begin(self) -> None:
        """Write the first heartbeat. Raises `OutboxError` when another process has taken over."""

        def work(database: sqlite3.Connection) -> None:
            database.execute("INSERT OR IGNORE INTO drain VALUES (1, ?, NULL)", (self.generation,))
            self.beat(database)

        self._file.do(work)

    def beat(self, database: sqlite3.Connection) -> None:
        """Renew the heartbeat, within a transaction that changes more. Raises `OutboxError` when the lease is over."""
        if database.execute(_BEAT, (time.time(), self.generation)).rowcount != 1:
            raise superseded(self._file.path)

    def renew(self) -> None:
        """Renew the heartbeat before something that takes long. Raises `OutboxError` when the lease is over."""
        self._file.do(self.beat)

    def end(self) -> None:
        """Nothing more is done in this lease."""
        with suppress(OutboxError):
            self._file.do(lambda database: database.execute(_BEAT, (None, self.generation)))

    def release(self) -> None:
        """Release the kernel's lock."""
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            os.close(descriptor)

    def forget(self) -> None:
        """In a forked child: close the descriptor, the lock remains the parent's."""
        with suppress(OSError):
            self.release()

    def __del__(self) -> None:
        self.forget()


class DrainLock:
    """The drain lock of one outbox file."""

    def __init__(self, file: OutboxFile) -> None:
        self._file = file
        self._leases: list[DrainLease] = []
        self._observed: tuple[int, float | None] | None = None
        self._observed_at = 0.0

    @contextmanager
    def hold(self) -> Iterator[DrainLease | None]:
        """Hold the lock for the block; None when another process or thread holds it."""
        lease = self._acquire()
        if lease is None:
            yield None
            return
        self._leases.append(lease)
        try:
            yield lease
        finally:
            if lease in self._leases:  # not so in a child that was forked meanwhile
                self._leases.remove(lease)
                lease.release()

    def forget(self) -> None:
        """In a forked child: leave the parent's locks to the parent."""
        for lease in self._leases:
            lease.forget()
        self._leases = []

    def holder(self) -> str | None:
        """The process that holds the lock as a text, None where that isn't known."""
        with suppress(OSError, OutboxError):
            generation, beat_at = self._state()
            text = self._lock_file(generation).read_text(encoding="utf-8", errors="replace").strip()
            if text:
                age = f", last active {max(0.0, time.time() - beat_at):.0f} s ago" if beat_at else ""
                return f"process {text}{age}"
        return None

    def _acquire(self) -> DrainLease | None:
        generation, beat_at = self._state()
        taken, descriptor = _flock(self._lock_file(generation))
        if not taken and self._is_stale(generation, beat_at):
            return self._take_over(generation, beat_at)
        if not taken:
            return None
        self._observed = None
        lease = DrainLease(self._file, generation, descriptor)
        if self._state()[0] != generation:  # another process took over between the two
            lease.release()
            return None
        return lease

    def _state(self) -> tuple[int, float | None]:
        found = self._file.do(lambda database: database.execute(_READ).fetchone())
        return found or (0, None)

    def _is_stale(self, generation: int, beat_at: float | None) -> bool:
        """Whether the holder is stopped: by its clock, or by what this process has observed for long enough."""
        now = time.monotonic()
        if self._observed != (generation, beat_at):
            self._observed, self._observed_at = (generation, beat_at), now
        by_clock = beat_at is not None and abs(time.time() - beat_at) > STALE_S
        return by_clock or now - self._observed_at > STALE_S

    def _take_over(self, generation: int, beat_at: float | None) -> DrainLease | None:
        following = generation + 1

        def work(database: sqlite3.Connection) -> int:
            return database.execute(_TAKE_OVER, (following, time.time(), generation, beat_at)).rowcount

        if self._file.do(work) != 1:
            return None
        if generation:  # the first file is the sign by which a damaged outbox is known
            with suppress(OSError):
                self._lock_file(generation).unlink()
        taken, descriptor = _flock(self._lock_file(following))
        return DrainLease(self._file, following, descriptor) if taken else None

    def _lock_file(self, generation: int) -> Path:
        return Path(f"{self._file.path}.lock" + (f"-{generation}" if generation else ""))


def superseded(path: Path) -> OutboxError:
    """The error for a lease that another process has ended."""
    return OutboxError(
        "drain_superseded",
        f"Another process drains the outbox {path}, since this one didn't answer for {STALE_S:g} s. It goes on there.",
    )


def _flock(path: Path) -> tuple[bool, int | None]:
    """Whether the lock was had, and its descriptor. Where there are no such locks it always is."""
    try:
        import fcntl

        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except (ImportError, OSError):
        return True, None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        name = os.path.basename(sys.argv[0]) if sys.argv and sys.argv[0] else "python"  # noqa: PTH119
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()} ({name} on {os.uname().nodename})\n".encode(errors="replace"), 0)
    except BlockingIOError:
        os.close(descriptor)
        return False, None
    except OSError:  # a file system without locks, or a full disk
        pass
    return True, descriptor
