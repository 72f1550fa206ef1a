"""The lock with which one process at a time drains an outbox, with a heartbeat and a generation.

The kernel releases the lock of a process that ends, but not that of a stopped process. The holder therefore writes a
heartbeat with each batch. If the heartbeat is too old, another process takes over with the next generation, which has
its own lock file. The earlier holder detects that its generation has ended before it makes further changes.
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
from tracker.messages import Message

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
    """One acquisition of the drain lock, with its generation."""

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
        """Renew the heartbeat inside a transaction. Raises `OutboxError` when the lease has ended."""
        if database.execute(_BEAT, (time.time(), self.generation)).rowcount != 1:
            raise superseded_error(self._file.path)

    def renew(self) -> None:
        """Renew the heartbeat before a long operation. Raises `OutboxError` when the lease has ended."""
        self._file.do(self.beat)

    def end(self) -> None:
        """Clear the heartbeat, because the work of this lease is done."""
        with suppress(OutboxError):
            self._file.do(lambda database: database.execute(_BEAT, (None, self.generation)))

    def release(self) -> None:
        """Release the kernel's lock."""
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            os.close(descriptor)

    def close_inherited(self) -> None:
        """Close the descriptor in a forked child; the parent keeps the lock."""
        with suppress(OSError):
            self.release()

    def __del__(self) -> None:
        self.close_inherited()


class DrainLock:
    """The drain lock of one outbox file."""

    def __init__(self, file: OutboxFile) -> None:
        self._file = file
        self._leases: list[DrainLease] = []
        self._observed: tuple[int, float | None] | None = None
        self._observed_at = 0.0

    @contextmanager
    def hold(self) -> Iterator[DrainLease | None]:
        """Acquire the lock for the block; None if another process or thread has acquired it."""
        lease = self._acquire()
        if lease is None:
            yield None
            return
        self._leases.append(lease)
        try:
            yield lease
        finally:
            if lease in self._leases:  # false in a child that was forked inside the block
                self._leases.remove(lease)
                lease.release()

    def close_inherited(self) -> None:
        """Close the descriptors in a forked child; the parent keeps its locks."""
        for lease in self._leases:
            lease.close_inherited()
        self._leases = []

    def holder(self) -> str | None:
        """A text that describes the process with the lock; None if it is unknown."""
        with suppress(OSError, OutboxError):
            generation, beat_at = self._state()
            text = self._lock_file(generation).read_text(encoding="utf-8", errors="replace").strip()
            if text:
                age = f", last active {max(0.0, time.time() - beat_at):.0f} s ago" if beat_at else ""
                return f"process {text}{age}"
        return None

    def _acquire(self) -> DrainLease | None:
        generation, beat_at = self._state()
        is_locked, descriptor = _flock(self._lock_file(generation))
        if not is_locked and self._is_stale(generation, beat_at):
            return self._take_over(generation, beat_at)
        if not is_locked:
            return None
        self._observed = None
        lease = DrainLease(self._file, generation, descriptor)
        if self._state()[0] != generation:  # another process has taken over since
            lease.release()
            return None
        return lease

    def _state(self) -> tuple[int, float | None]:
        row = self._file.do(lambda database: database.execute(_READ).fetchone())
        return row or (0, None)

    def _is_stale(self, generation: int, beat_at: float | None) -> bool:
        """Whether the holder is stopped: its heartbeat is old, or hasn't changed while this process observed it."""
        now = time.monotonic()
        if self._observed != (generation, beat_at):
            self._observed, self._observed_at = (generation, beat_at), now
        by_clock = beat_at is not None and abs(time.time() - beat_at) > STALE_S
        return by_clock or now - self._observed_at > STALE_S

    def _take_over(self, generation: int, beat_at: float | None) -> DrainLease | None:
        next_generation = generation + 1

        def work(database: sqlite3.Connection) -> int:
            return database.execute(_TAKE_OVER, (next_generation, time.time(), generation, beat_at)).rowcount

        if self._file.do(work) != 1:
            return None
        if generation:  # the first lock file stays: it identifies a damaged outbox
            with suppress(OSError):
                self._lock_file(generation).unlink()
        is_locked, descriptor = _flock(self._lock_file(next_generation))
        return DrainLease(self._file, next_generation, descriptor) if is_locked else None

    def _lock_file(self, generation: int) -> Path:
        return Path(f"{self._file.path}.lock" + (f"-{generation}" if generation else ""))


def superseded_error(path: Path) -> OutboxError:
    """The error for a lease that another process has taken over."""
    message = Message("recording.drain_superseded", path=path, stale_s=f"{STALE_S:g}")
    return OutboxError("drain_superseded", message)


def _flock(path: Path) -> tuple[bool, int | None]:
    """Whether the lock was acquired, and its descriptor. Without file locks on this platform it always is."""
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
