"""The file under an outbox: SQLite in WAL mode, opened when needed, replaced when damaged, closed for a fork."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TypeVar
from uuid import uuid4

from tracker.errors import OutboxError
from tracker.recording.outbox import drain_lock
from tracker.recording.outbox.drain_lock import DrainLease, DrainLock
from tracker.recording.outbox.file_lock import FileLocks
from tracker.recording.outbox.paths import DAMAGED, exists, make_directory
from tracker.threads import CallLock, call_deadline, fork_guard

try:
    import sqlite3
except ImportError:  # a Python that was built without it
    sqlite3 = None  # type: ignore[assignment]

T = TypeVar("T")

# Says that a file is an outbox (sqlite.org, "PRAGMA application_id").
APPLICATION_ID = 0x746B7472
# Which numbers of a process wait is asked while a batch is on its way, however many records there are.
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
{_INDEX};
{drain_lock.TABLE};
COMMIT;
"""
TABLES = {"records", "set_aside", "notes"}
_ANYTHING = "EXISTS (SELECT 1 FROM records) OR EXISTS (SELECT 1 FROM set_aside) OR EXISTS (SELECT 1 FROM notes)"
# SQLite's primary result codes. A message could change, these can't.
_BUSY, _LOCKED, _READONLY, _CORRUPT, _FULL, _NOT_A_DATABASE = 5, 6, 8, 11, 13, 26
LOCK_TIMEOUT_S = 1.0
_MIN_LOCK_TIMEOUT_S = 0.02
# Free pages go back to the disk in steps, so that nobody waits long for the lock; some are kept for what comes next.
_KEPT_PAGES, _STEP_PAGES = 256, 512
_WAL_BYTES = 4_000_000
_BEGIN_PAUSE_S = 0.005
_LOOKS = 5
_INCREMENTAL = 2


class OutboxFile:
    """One file. Every method raises `OutboxError` with a sentence, and nothing else, when the disk fails.

    A damaged outbox is moved aside, never deleted, and a new one begun; `on_damage` is told its new name. A file
    that never was an outbox is somebody else's, and left as it is.
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
        self._patience_s = LOCK_TIMEOUT_S

    @contextmanager
    def hold_drain_lock(self) -> Iterator[DrainLease | None]:
        """The lease of the one that may drain the file now; None when another process or thread has it."""
        self.do(lambda _: None)  # a lock file says that an outbox was here
        with self.drain_lock.hold() as lease:
            yield lease

    def close(self) -> None:
        """Close the file, unless a call is inside; it is opened again when it is used."""
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
        """Close the file; the fork gate keeps every other thread out meanwhile.

        A child inherits what SQLite believes to be locked, without the locks themselves: another process's last close
        would remove the journal that the child still writes to.
        """
        if not fork_guard.file.is_used() and self.lock.acquire(0.0):
            try:
                with suppress(Exception):
                    self._close()
            finally:
                self.lock.release()

    def after_fork(self) -> None:
        """Begin anew in a forked child. What was open before can't be used there, nor even closed."""
        if self._database is not None:
            self._inherited.append(self._database)
        self._locks.close_inherited()
        self.drain_lock.close_inherited()
        self._reset()

    # --- doing something with it ---

    def do(self, work: Callable[[sqlite3.Connection], T], lock_timeout_s: float = LOCK_TIMEOUT_S) -> T:
        """Do something with the open file. A call inside another one of the same thread finds it busy."""
        if sqlite3 is None:
            raise OutboxError("outbox_unavailable", "This Python has no sqlite3, which the outbox needs. Install it.")
        lock_timeout_s = call_deadline.bounded_wait_s(lock_timeout_s, _MIN_LOCK_TIMEOUT_S)
        end = time.monotonic() + lock_timeout_s
        lock = self.lock
        try:
            with fork_guard.file:
                # Never waited for by a signal handler or a finalizer: SQLite may be in the middle of the outer call.
                if not lock.acquire(lock_timeout_s):
                    raise self.busy()
                if self._database is not None and self._database.in_transaction:
                    self._close()  # a call was interrupted in its transaction, which this rolls back
                # Another thread may have waited for another process; both waits together are no longer than told.
                return self._do_locked(work, max(0.0, end - time.monotonic()))
        except OSError as error:
            raise _unwritable(self.path, error.strerror or type(error).__name__) from None
        except ValueError:  # a name that no file can have
            raise _unwritable(self.path, "no file can have this name") from None
        finally:
            lock.release()

    def _do_locked(self, work: Callable[[sqlite3.Connection], T], lock_timeout_s: float) -> T:
        try:
            return work(self._opened(lock_timeout_s))
        except sqlite3.Error as error:
            if not _is_damaged(error):
                raise self._explained(error) from None
        try:
            self._replace_damaged(lock_timeout_s)
            return work(self._opened(lock_timeout_s))
        except sqlite3.Error as error:
            raise self._explained(error) from None

    def _opened(self, lock_timeout_s: float) -> sqlite3.Connection:
        if self._inherited:
            raise OutboxError(
                "outbox_inherited",
                f"The outbox {self.path} was in use when this process was forked, and its locks are the parent's."
                " Make the Tracker after the fork.",
            )
        database = self._database
        if database is None or self._moved():
            self._close()
            self._database = database = self._open(lock_timeout_s)
            self._patience_s = -1.0  # what is left of it was spent on opening
        rounded_s = round(lock_timeout_s, 1)
        if rounded_s != self._patience_s:  # changing it is a statement of its own
            database.execute(f"PRAGMA busy_timeout = {int(lock_timeout_s * 1000)}")
            self._patience_s = rounded_s
        return database

    def _moved(self) -> bool:
        """Whether somebody removed or replaced the file: what is written into a removed one is lost with us."""
        try:
            return os.stat(self._name).st_ino != self._inode  # noqa: PTH116  a Path costs twice as much
        except OSError:
            return True

    # --- opening ---

    def _open(self, lock_timeout_s: float) -> sqlite3.Connection:
        make_directory(self.path)
        self._inode = self._there()
        database = sqlite3.connect(self.path, timeout=LOCK_TIMEOUT_S, isolation_level=None, check_same_thread=False)
        try:
            self._begin_in_time(database, lock_timeout_s)
        except BaseException:
            database.close()
            raise
        return database

    def _there(self) -> int:
        """The file's inode; it is made where there is none, also where another one moves it aside between two looks."""
        for _ in range(_LOOKS):
            if not exists(self.path):
                _create(self.path)
            with suppress(FileNotFoundError):
                return self.path.stat().st_ino
        return self.path.stat().st_ino  # a link that leads nowhere

    def _begin_in_time(self, database: sqlite3.Connection, lock_timeout_s: float) -> None:
        """Two processes that begin one file at once: SQLite tells one to go away, and waits for no change to WAL."""
        end = time.monotonic() + lock_timeout_s
        while True:
            left_s = max(0.0, end - time.monotonic())
            database.execute(f"PRAGMA busy_timeout = {int(left_s * 1000)}")
            try:
                return self._begin(database)
            except sqlite3.OperationalError as error:
                if _primary_code(error) not in {_BUSY, _LOCKED} or left_s <= _BEGIN_PAUSE_S:
                    raise
            if database.in_transaction:
                database.rollback()
            time.sleep(_BEGIN_PAUSE_S)

    def _begin(self, database: sqlite3.Connection) -> None:
        tables = {name for (name,) in database.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")}
        ours = database.execute("PRAGMA application_id").fetchone()[0] == APPLICATION_ID
        if tables and not ours and not tables >= TABLES:
            raise self._foreign()
        if not tables:  # only before the first table, and before WAL
            database.execute("PRAGMA auto_vacuum = INCREMENTAL")
        if database.execute("PRAGMA journal_mode").fetchone()[0] != "wal":
            database.execute("PRAGMA journal_mode = WAL")
        # Durable against the end of the process; a power cut may take the last moments.
        database.execute("PRAGMA synchronous = NORMAL")
        database.execute(f"PRAGMA journal_size_limit = {_WAL_BYTES}")
        page_size = database.execute("PRAGMA page_size").fetchone()[0]
        database.execute(f"PRAGMA max_page_count = {self._max_mb * 1_000_000 // page_size}")
        if not tables >= TABLES:
            database.executescript(_SCHEMA)
            with self._locks.hold("lock"):  # the sign by which a damaged outbox is known
                pass
        elif "drain" not in tables:
            database.execute(drain_lock.TABLE)

    # --- the size of the file ---

    def add_index(self) -> None:
        """Give a file of an earlier version its index; that reads the whole file."""
        self.do(lambda database: database.execute(_INDEX))

    def shrink(self, seconds: float) -> bool:
        """Give free pages back to the disk, in small steps and for so long; whether more are left.

        Raises `OutboxError`.
        """
        end = time.monotonic() + seconds

        def step(database: sqlite3.Connection) -> bool:
            if database.execute("PRAGMA auto_vacuum").fetchone()[0] != _INCREMENTAL:
                return False
            surplus = int(database.execute("PRAGMA freelist_count").fetchone()[0]) - _KEPT_PAGES
            if surplus > 0:  # a script runs the statement to its end, which removes one page a step
                database.executescript(f"PRAGMA incremental_vacuum({min(_STEP_PAGES, surplus)})")
            return surplus > _STEP_PAGES

        while more := self.do(step):
            if time.monotonic() >= end:
                break
        return more

    def convert(self) -> bool:
        """Let a file of an earlier version give free pages back from now on, if nothing waits; whether it does."""

        def work(database: sqlite3.Connection) -> bool:
            if database.execute("PRAGMA auto_vacuum").fetchone()[0] == _INCREMENTAL:
                return True
            if database.execute(f"SELECT {_ANYTHING}").fetchone()[0]:
                return False
            database.execute("PRAGMA auto_vacuum = INCREMENTAL")
            database.execute("VACUUM")
            database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            return True

        return self.do(work)

    # --- a damaged file ---

    def _replace_damaged(self, lock_timeout_s: float) -> None:
        """Move a damaged file aside, unless another process already did."""
        damaged = self._inode
        self._close()
        if not exists(Path(f"{self.path}.lock")):
            raise self._foreign()
        with self._locks.hold("repair", lock_timeout_s) as held:
            if not held:
                raise self.busy()
            if not exists(self.path) or self.path.stat().st_ino != damaged:
                return
            aside = self.path.with_name(f"{self.path.name}{DAMAGED}{time.time_ns()}")
            for suffix in ("-wal", "-shm", ""):
                if (part := Path(f"{self.path}{suffix}")).exists():
                    part.rename(f"{aside}{suffix}")
        if self._on_damage:
            self._on_damage(aside)

    # --- sentences ---

    def busy(self) -> OutboxError:
        """The error for a lock that wasn't had in time."""
        return OutboxError("outbox_busy", f"The outbox {self.path} stayed locked by another process or thread.")

    def _foreign(self) -> OutboxError:
        return OutboxError(
            "outbox_foreign",
            f"The file {self.path} was never an outbox and is left as it is. Set TRACKER_OUTBOX to a file of its own.",
        )

    def _explained(self, error: sqlite3.Error) -> OutboxError:
        code = _primary_code(error)
        if code == _FULL:
            return OutboxError(
                "outbox_full",
                f"The outbox {self.path} is full: the disk is, or it reached TRACKER_OUTBOX_MAX_MB"
                f" ({self._max_mb}). Mend what keeps the database from taking records, or make room.",
            )
        if code in {_BUSY, _LOCKED}:
            return self.busy()
        if _is_damaged(error):
            return OutboxError("outbox_damaged", f"The outbox {self.path} is damaged. Move it away and check the disk.")
        if self.path.is_dir():
            return _unwritable(self.path, "it is a directory")
        return _unwritable(self.path, "it is read-only" if code == _READONLY else "the disk refused")


def _create(path: Path) -> None:
    """An empty file that nobody else can read.

    It is made beside and linked: closing any descriptor of a file drops all locks that this process holds on it
    (sqlite.org, "How To Corrupt An SQLite Database File", 2.2), and another Tracker may have it open by now.
    """
    made = Path(f"{path}.{uuid4().hex}")
    os.close(os.open(made, os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
    try:
        with suppress(FileExistsError):
            os.link(made, path)
    finally:
        made.unlink()


def _primary_code(error: sqlite3.Error) -> int:
    return getattr(error, "sqlite_errorcode", 0) & 0xFF


def _is_damaged(error: sqlite3.Error) -> bool:
    return _primary_code(error) in {_CORRUPT, _NOT_A_DATABASE}


def _unwritable(path: Path, reason: str) -> OutboxError:
    return OutboxError(
        "outbox_unwritable",
        f"The outbox {path} can't be written: {reason}. Set TRACKER_OUTBOX to a file that can be.",
    )
