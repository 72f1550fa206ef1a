"""The SQLite file of an outbox: in WAL mode, opened when needed, replaced when damaged, closed before a fork."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TypeVar
from uuid import uuid4

from tracker.errors import OutboxError
from tracker.forks import fork_guard
from tracker.messages import Message
from tracker.recording.outbox import drain_lock
from tracker.recording.outbox.drain_lock import DrainLease, DrainLock
from tracker.recording.outbox.file_lock import FileLocks
from tracker.recording.outbox.paths import DAMAGED, exists, make_directory
from tracker.threads import CallLock, call_deadline

try:
    import sqlite3
except ImportError:  # a Python that was built without it
    sqlite3 = None  # type: ignore[assignment]

T = TypeVar("T")

# Identifies a file as an outbox (sqlite.org, "PRAGMA application_id").
APPLICATION_ID = 0x746B7472
# Exists only while records are delivered whose ids aren't in the order of their numbers: each batch then reads the
# queued numbers of a process. It makes an append a third slower.
_INDEX = "CREATE INDEX IF NOT EXISTS records_by_instance ON records (instance, sequence)"
_SCHEMA = f"""
BEGIN IMMEDIATE;
PRAGMA application_id = {APPLICATION_ID};
CREATE TABLE IF NOT EXISTS records (
    id TEXT NOT NULL, instance TEXT NOT NULL, sequence INTEGER NOT NULL,
    document TEXT NOT NULL, queued_at REAL NOT NULL,
    PRIMARY KEY (id, instance, sequence)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS set_aside (
    id TEXT NOT NULL, instance TEXT NOT NULL, sequence INTEGER NOT NULL,
    document TEXT NOT NULL, queued_at REAL NOT NULL, reason TEXT NOT NULL,
    PRIMARY KEY (id, instance, sequence)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS notes (number INTEGER PRIMARY KEY, kind TEXT NOT NULL, document TEXT NOT NULL);
{drain_lock.TABLE};
COMMIT;
"""
TABLES = {"records", "set_aside", "notes"}
_HAS_CONTENT = "EXISTS (SELECT 1 FROM records) OR EXISTS (SELECT 1 FROM set_aside) OR EXISTS (SELECT 1 FROM notes)"
# SQLite's primary result codes, which are stable, unlike its messages.
_BUSY, _LOCKED, _READONLY, _CORRUPT, _FULL, _NOT_A_DATABASE = 5, 6, 8, 11, 13, 26
LOCK_TIMEOUT_S = 1.0
_MIN_LOCK_TIMEOUT_S = 0.02
# Free pages are released in steps, so that the lock is never blocked for long; some pages are reserved for new records.
_RESERVED_PAGES, _STEP_PAGES = 256, 512
_WAL_BYTES = 4_000_000
_INITIALIZE_PAUSE_S = 0.005
_MAX_TRIES = 5
_INCREMENTAL = 2


class OutboxFile:
    """One outbox file. If the disk fails, every method raises `OutboxError` and no other exception.

    A damaged outbox is renamed, never deleted, and a new one is created; `on_damage` receives the new path. A file
    that never was an outbox stays unchanged.
    """

    def __init__(self, path: Path, max_mb: int = 1000, on_damage: Callable[[Path], None] | None = None) -> None:
        self.path = path
        self._name = str(path)
        self._max_mb = max_mb
        self._on_damage = on_damage
        self._inherited: list[object] = []
        self._locks = FileLocks(path)
        self.drain_lock = DrainLock(self)
        self._reset()

    def _reset(self) -> None:
        self.lock = CallLock()
        self._database: sqlite3.Connection | None = None
        self._inode = 0
        self._lock_timeout_s = LOCK_TIMEOUT_S

    @contextmanager
    def hold_drain_lock(self) -> Iterator[DrainLease | None]:
        """The lease to drain the file; None if another process or thread has it."""
        self.do(lambda _: None)  # creates the file, so that no lock file exists without an outbox
        with self.drain_lock.hold() as lease:
            yield lease

    def close(self) -> None:
        """Close the file unless a call uses it; the next call opens it again."""
        if not self.lock.acquire(LOCK_TIMEOUT_S):
            return
        try:
            self._close()
        finally:
            self.lock.release()

    def _close(self) -> None:
        database, self._database = self._database, None
        if database is not None:
            database.close()

    def before_fork(self) -> None:
        """Close the file before a fork; the fork guard keeps all other threads out until the fork has ended.

        A child inherits SQLite's lock state without the locks: when another process closes the file, SQLite would
        delete the write-ahead log that the child still writes to.
        """
        if not fork_guard.file.is_used() and self.lock.acquire(0.0):
            try:
                with suppress(Exception):
                    self._close()
            finally:
                self.lock.release()

    def after_fork(self) -> None:
        """Reset in a forked child, which can neither use nor close the parent's open connection."""
        if self._database is not None:
            self._inherited.append(self._database)
        self._locks.close_inherited()
        self.drain_lock.close_inherited()
        self._reset()

    # --- statements ---

    def do(self, work: Callable[[sqlite3.Connection], T], lock_timeout_s: float = LOCK_TIMEOUT_S) -> T:
        """Run a function with the open database. A nested call of the same thread raises the busy error."""
        if sqlite3 is None:
            raise OutboxError("outbox_unavailable", Message("recording.outbox_unavailable"))
        lock_timeout_s = call_deadline.bounded_wait_s(lock_timeout_s, _MIN_LOCK_TIMEOUT_S)
        end = time.monotonic() + lock_timeout_s
        lock = self.lock
        try:
            with fork_guard.file:
                # A signal handler or finalizer doesn't wait here, because SQLite may be inside the outer call.
                if not lock.acquire(lock_timeout_s):
                    raise self.busy_error()
                if self._database is not None and self._database.in_transaction:
                    self._close()  # rolls back the transaction of an interrupted call
                # The wait for another thread and the wait for another process have a common time limit.
                return self._do_locked(work, max(0.0, end - time.monotonic()))
        except OSError as error:
            raise _unwritable_error(self.path, error.strerror or type(error).__name__) from None
        except ValueError:  # a name that no file can have
            raise _unwritable_error(self.path, Message("recording.unwritable.invalid_name")) from None
        finally:
            lock.release()

    def _do_locked(self, work: Callable[[sqlite3.Connection], T], lock_timeout_s: float) -> T:
        try:
            return work(self._open_database(lock_timeout_s))
        except sqlite3.Error as error:
            if not _is_damaged(error):
                raise self._to_outbox_error(error) from None
        try:
            self._rename_damaged(lock_timeout_s)
            return work(self._open_database(lock_timeout_s))
        except sqlite3.Error as error:
            raise self._to_outbox_error(error) from None

    def _open_database(self, lock_timeout_s: float) -> sqlite3.Connection:
        if self._inherited:
            raise OutboxError(
                "outbox_inherited",
                Message("recording.outbox_inherited", path=self.path),
            )
        database = self._database
        if database is None or self._was_replaced():
            self._close()
            self._database = database = self._connect(lock_timeout_s)
            self._lock_timeout_s = -1.0  # opening used a part of the time limit: set the timeout again
        rounded_s = round(lock_timeout_s, 1)
        if rounded_s != self._lock_timeout_s:  # a change needs a separate statement
            database.execute(f"PRAGMA busy_timeout = {int(lock_timeout_s * 1000)}")
            self._lock_timeout_s = rounded_s
        return database

    def _was_replaced(self) -> bool:
        """Whether the file was removed or replaced; records in a removed file would be lost."""
        try:
            return os.stat(self._name).st_ino != self._inode  # noqa: PTH116  a Path costs twice as much
        except OSError:
            return True

    # --- opening ---

    def _connect(self, lock_timeout_s: float) -> sqlite3.Connection:
        make_directory(self.path)
        self._inode = self._ensure_file()
        database = sqlite3.connect(self.path, timeout=LOCK_TIMEOUT_S, isolation_level=None, check_same_thread=False)
        try:
            self._initialize_in_time(database, lock_timeout_s)
        except BaseException:
            database.close()
            raise
        return database

    def _ensure_file(self) -> int:
        """The file's inode; creates the file if it is missing, also if another process renames it at the same time."""
        for _ in range(_MAX_TRIES):
            if not exists(self.path):
                _create(self.path)
            with suppress(FileNotFoundError):
                return self.path.stat().st_ino
        return self.path.stat().st_ino  # raises for a broken link

    def _initialize_in_time(self, database: sqlite3.Connection, lock_timeout_s: float) -> None:
        """Initialize the file and retry while it is busy: SQLite doesn't wait while another process changes to WAL."""
        end = time.monotonic() + lock_timeout_s
        while True:
            left_s = max(0.0, end - time.monotonic())
            database.execute(f"PRAGMA busy_timeout = {int(left_s * 1000)}")
            try:
                return self._initialize(database)
            except sqlite3.OperationalError as error:
                if _primary_code(error) not in {_BUSY, _LOCKED} or left_s <= _INITIALIZE_PAUSE_S:
                    raise
            if database.in_transaction:
                database.rollback()
            time.sleep(_INITIALIZE_PAUSE_S)

    def _initialize(self, database: sqlite3.Connection) -> None:
        tables = {name for (name,) in database.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")}
        has_application_id = database.execute("PRAGMA application_id").fetchone()[0] == APPLICATION_ID
        if tables and not has_application_id and not tables >= TABLES:
            raise self._foreign_error()
        if not tables:  # only before the first table, and before WAL
            database.execute("PRAGMA auto_vacuum = INCREMENTAL")
        if database.execute("PRAGMA journal_mode").fetchone()[0] != "wal":
            database.execute("PRAGMA journal_mode = WAL")
        # Durable if the process ends; a power failure may lose the last records.
        database.execute("PRAGMA synchronous = NORMAL")
        database.execute(f"PRAGMA journal_size_limit = {_WAL_BYTES}")
        page_size = database.execute("PRAGMA page_size").fetchone()[0]
        database.execute(f"PRAGMA max_page_count = {self._max_mb * 1_000_000 // page_size}")
        if not tables >= TABLES:
            database.executescript(_SCHEMA)
            with self._locks.hold("lock"):  # creates the lock file, which identifies a damaged outbox
                pass
        elif "drain" not in tables:
            database.execute(drain_lock.TABLE)

    # --- the size of the file ---

    def add_index(self) -> None:
        """Create the index on the records' numbers, which reads the whole file."""
        self.do(lambda database: database.execute(_INDEX))

    def drop_index(self) -> None:
        """Drop the index on the records' numbers if it exists."""
        self.do(lambda database: database.execute("DROP INDEX IF EXISTS records_by_instance"))

    def shrink(self, seconds: float) -> bool:
        """Release free pages in small steps for `seconds`; returns whether more are left. Raises `OutboxError`."""
        end = time.monotonic() + seconds

        def step(database: sqlite3.Connection) -> bool:
            if database.execute("PRAGMA auto_vacuum").fetchone()[0] != _INCREMENTAL:
                return False
            surplus = int(database.execute("PRAGMA freelist_count").fetchone()[0]) - _RESERVED_PAGES
            if surplus > 0:  # executescript runs all steps of the statement, each of which removes one page
                database.executescript(f"PRAGMA incremental_vacuum({min(_STEP_PAGES, surplus)})")
            return surplus > _STEP_PAGES

        while more := self.do(step):
            if time.monotonic() >= end:
                break
        return more

    def convert(self) -> bool:
        """Enable the release of free pages in an empty file of an earlier version; returns whether it is enabled."""

        def work(database: sqlite3.Connection) -> bool:
            if database.execute("PRAGMA auto_vacuum").fetchone()[0] == _INCREMENTAL:
                return True
            if database.execute(f"SELECT {_HAS_CONTENT}").fetchone()[0]:
                return False
            database.execute("PRAGMA auto_vacuum = INCREMENTAL")
            database.execute("VACUUM")
            database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            return True

        return self.do(work)

    # --- a damaged file ---

    def _rename_damaged(self, lock_timeout_s: float) -> None:
        """Rename a damaged outbox with its WAL, unless another thread or process has; the next call creates a new one.

        Raises `OutboxError` for a file that never was an outbox: it has no lock file.
        """
        damaged_inode = self._inode
        self._close()
        if not exists(Path(f"{self.path}.lock")):
            raise self._foreign_error()
        with self._locks.hold("repair", lock_timeout_s) as is_locked:
            if not is_locked:
                raise self.busy_error()
            if not exists(self.path) or self.path.stat().st_ino != damaged_inode:
                return
            damaged_path = self.path.with_name(f"{self.path.name}{DAMAGED}{time.time_ns()}")
            for suffix in ("-wal", "-shm", ""):  # the file last: a WAL must never belong to the new file
                if (file := Path(f"{self.path}{suffix}")).exists():
                    file.rename(f"{damaged_path}{suffix}")
        if self._on_damage:
            self._on_damage(damaged_path)

    # --- errors ---

    def busy_error(self) -> OutboxError:
        """The error for a lock that wasn't acquired in time."""
        return OutboxError("outbox_busy", Message("recording.outbox_busy", path=self.path))

    def _foreign_error(self) -> OutboxError:
        return OutboxError(
            "outbox_foreign",
            Message("recording.outbox_foreign", path=self.path),
        )

    def _to_outbox_error(self, error: sqlite3.Error) -> OutboxError:
        code = _primary_code(error)
        if code == _FULL:
            return OutboxError(
                "outbox_full",
                Message("recording.outbox_full", path=self.path, max_mb=self._max_mb),
            )
        if code in {_BUSY, _LOCKED}:
            return self.busy_error()
        if _is_damaged(error):
            return OutboxError("outbox_damaged", Message("recording.outbox_damaged", path=self.path))
        if self.path.is_dir():
            return _unwritable_error(self.path, Message("recording.unwritable.directory"))
        reason = "read_only" if code == _READONLY else "disk"
        return _unwritable_error(self.path, Message(f"recording.unwritable.{reason}"))


def _create(path: Path) -> None:
    """Create an empty file that no other user can read.

    It is created under another name and linked: closing any descriptor of a file releases all locks of this process on
    it (sqlite.org, "How To Corrupt An SQLite Database File", 2.2), and another Tracker may have opened it already.
    """
    new_file = Path(f"{path}.{uuid4().hex}")
    os.close(os.open(new_file, os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
    try:
        with suppress(FileExistsError):
            os.link(new_file, path)
    finally:
        new_file.unlink()


def _primary_code(error: sqlite3.Error) -> int:
    return getattr(error, "sqlite_errorcode", 0) & 0xFF


def _is_damaged(error: sqlite3.Error) -> bool:
    return _primary_code(error) in {_CORRUPT, _NOT_A_DATABASE}


def _unwritable_error(path: Path, reason: str) -> OutboxError:
    return OutboxError(
        "outbox_unwritable",
        Message("recording.outbox_unwritable", path=path, reason=reason),
    )
