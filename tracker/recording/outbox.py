"""The outbox: a durable local journal of records, used by many threads and processes at once.

SQLite in WAL mode: what was appended survives the end of the process, also by kill -9. A record stays until the
database has it, so that a crash at any moment leads at worst to a second delivery, which its id makes harmless.
"""

from __future__ import annotations

import os
import sqlite3
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import NamedTuple, TypeVar
from uuid import uuid4

from tracker.errors import OutboxError
from tracker.recording.places import exists, make_directory

T = TypeVar("T")

_SCHEMA = """
CREATE TABLE IF NOT EXISTS records (
    id TEXT NOT NULL, instance TEXT NOT NULL, sequence INTEGER NOT NULL,
    document TEXT NOT NULL, queued_at REAL NOT NULL,
    PRIMARY KEY (id, instance, sequence)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS set_aside (
    id TEXT NOT NULL, instance TEXT NOT NULL, sequence INTEGER NOT NULL,
    document TEXT NOT NULL, queued_at REAL NOT NULL, reason TEXT NOT NULL,
    PRIMARY KEY (id, instance, sequence)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS notes (number INTEGER PRIMARY KEY, kind TEXT NOT NULL, document TEXT NOT NULL);
"""
_APPEND = "INSERT OR IGNORE INTO records VALUES (?, ?, ?, ?, ?)"
_KEY = "id = ? AND instance = ? AND sequence = ?"
# SQLite's primary result codes. A message could change, these can't.
_BUSY, _LOCKED, _READONLY, _CORRUPT, _FULL, _NOT_A_DATABASE = 5, 6, 8, 11, 13, 26
_PATIENCE_S = 1.0
_FORK_PATIENCE_S = 5.0


class Waiting(NamedTuple):
    """A record in the outbox; `document` is its row as one JSON object."""

    id: str
    instance: str
    sequence: int
    document: str

    @property
    def key(self) -> tuple[str, str, int]:
        return self[:3]


class Depth(NamedTuple):
    """How much lies in an outbox; `oldest_at` is seconds since the epoch, None when nothing waits."""

    waiting: int
    set_aside: int
    oldest_at: float | None


class Outbox:
    """One outbox file. Every method raises `OutboxError` with a sentence, and nothing else, when the disk fails.

    A damaged file is moved aside, never deleted, and a new one begun; `on_damage` is told its new name.
    """

    def __init__(self, path: Path, max_mb: int = 1000, on_damage: Callable[[Path], None] | None = None) -> None:
        self.path = path
        self._name = str(path)
        self._max_mb = max_mb
        self._on_damage = on_damage
        self._inherited: list[object] = []
        self._reset()

    def _reset(self) -> None:
        self.lock = threading.RLock()
        self._database: sqlite3.Connection | None = None
        self._inode = 0
        self._patience_s = _PATIENCE_S
        self._lock_files: set[int] = set()

    # --- records ---

    def append(self, record: Waiting, queued_at: float | None = None, patience_s: float = _PATIENCE_S) -> None:
        """Make one record durable; twice the same one is one."""
        values = (*record, time.time() if queued_at is None else queued_at)
        self._do(lambda database: database.execute(_APPEND, values), patience_s)

    def waiting(self, limit: int) -> list[Waiting]:
        """The next records, in the order of their ids."""
        question = "SELECT id, instance, sequence, document FROM records ORDER BY id LIMIT ?"
        return self._do(lambda database: [Waiting(*row) for row in database.execute(question, (limit,))])

    def earlier(self, instance: str, sequence: int) -> list[int]:
        """The numbers below this one that wait too."""
        question = "SELECT sequence FROM records WHERE instance = ? AND sequence < ? ORDER BY sequence"
        return self._do(lambda database: [row[0] for row in database.execute(question, (instance, sequence))])

    def remove(self, delivered: Iterable[Waiting]) -> None:
        """Forget records that the database has."""
        keys = [record.key for record in delivered]

        def delete(database: sqlite3.Connection) -> None:
            with _transaction(database):
                database.executemany(f"DELETE FROM records WHERE {_KEY}", keys)  # noqa: S608  our own text

        self._do(delete)

    def set_aside(self, record: Waiting, reason: str) -> None:
        """Keep a record that the database refuses, with the reason, out of the others' way."""

        def move(database: sqlite3.Connection) -> None:
            with _transaction(database):
                values = (*record, time.time(), reason)
                database.execute("INSERT OR REPLACE INTO set_aside VALUES (?, ?, ?, ?, ?, ?)", values)
                database.execute(f"DELETE FROM records WHERE {_KEY}", record.key)  # noqa: S608  our own text

        self._do(move)

    def refused(self) -> list[tuple[Waiting, str]]:
        """The records that were set aside, each with its reason."""
        question = "SELECT id, instance, sequence, document, reason FROM set_aside ORDER BY id"
        return self._do(lambda database: [(Waiting(*row[:4]), row[4]) for row in database.execute(question)])

    def take_back(self) -> int:
        """Queue what was set aside again, once its cause is gone; how many records that were."""

        def move(database: sqlite3.Connection) -> int:
            with _transaction(database):
                database.execute(
                    "INSERT OR IGNORE INTO records SELECT id, instance, sequence, document, queued_at FROM set_aside"
                )
                return database.execute("DELETE FROM set_aside").rowcount

        return self._do(move)

    def depth(self, before: float | None = None, patience_s: float = _PATIENCE_S) -> Depth:
        """How much waits (queued at `before` or earlier, where given), and how much is set aside."""
        limit = before if before is not None else 1e12
        question = "SELECT count(*), (SELECT count(*) FROM set_aside), min(queued_at) FROM records WHERE queued_at <= ?"
        return self._do(lambda database: Depth(*database.execute(question, (limit,)).fetchone()), patience_s)

    def empty(self) -> bool:
        """Whether nothing waits, neither a record nor a note."""
        question = "SELECT NOT EXISTS (SELECT 1 FROM records) AND NOT EXISTS (SELECT 1 FROM notes)"
        return self._do(lambda database: bool(database.execute(question).fetchone()[0]))

    # --- notes: what the database is to know besides the records ---

    def note(self, kind: str, document: str, patience_s: float = _PATIENCE_S) -> None:
        """Keep an entry for the ledger or the table of alerts until the database has it."""
        self._do(
            lambda database: database.execute("INSERT INTO notes (kind, document) VALUES (?, ?)", (kind, document)),
            patience_s,
        )

    def notes(self, limit: int) -> list[tuple[int, str, str]]:
        """The next notes: number, kind, document."""
        question = "SELECT number, kind, document FROM notes ORDER BY number LIMIT ?"
        return self._do(lambda database: database.execute(question, (limit,)).fetchall())

    def remove_notes(self, numbers: Sequence[int]) -> None:
        """Forget notes that the database has."""

        def delete(database: sqlite3.Connection) -> None:
            with _transaction(database):
                database.executemany("DELETE FROM notes WHERE number = ?", [(number,) for number in numbers])

        self._do(delete)

    # --- one drainer at a time ---

    @contextmanager
    def drainer(self) -> Iterator[bool]:
        """Whether this is the one that may drain the file now; the kernel drops the lock of a dead process."""
        with self._file_lock("lock", wait=False) as held:
            yield held

    @contextmanager
    def _file_lock(self, suffix: str, *, wait: bool) -> Iterator[bool]:
        try:
            import fcntl

            file = os.open(f"{self.path}.{suffix}", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except (ImportError, OSError):  # no such locks here; two drainers only do the work twice
            yield True
            return
        self._lock_files.add(file)
        try:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
                held = True
            except OSError:
                held = False
            yield held
        finally:
            if file in self._lock_files:  # not so in a child that was forked meanwhile
                self._lock_files.remove(file)
                os.close(file)

    # --- the file ---

    def close(self) -> None:
        """Close the file; it is opened again when it is used."""
        with self.lock:
            database, self._database = self._database, None
            if database is not None:
                database.close()

    def before_fork(self, stack: ExitStack) -> None:
        """Close the file and keep every thread out until `stack` ends.

        A child inherits what SQLite believes to be locked, without the locks themselves: somebody else's last close
        would remove the journal that the child still writes to.
        """
        if self.lock.acquire(timeout=_FORK_PATIENCE_S):
            stack.callback(self.lock.release)
            with suppress(sqlite3.Error):
                self.close()

    def after_fork(self) -> None:
        """Begin anew in a forked child. What was open before can't be used there, nor even closed."""
        self._inherited.append(self._database)
        for file in self._lock_files:
            os.close(file)
        self._reset()

    def _do(self, work: Callable[[sqlite3.Connection], T], patience_s: float = _PATIENCE_S) -> T:
        if not self.lock.acquire(blocking=False):
            # Another thread may be waiting for another process; both waits together are no longer than told.
            end = time.monotonic() + patience_s
            if not self.lock.acquire(timeout=patience_s):
                raise self.busy()
            patience_s = max(0.0, end - time.monotonic())
        try:
            return self._do_locked(work, patience_s)
        except OSError as error:
            raise _unwritable(self.path, error.strerror or type(error).__name__) from None
        finally:
            self.lock.release()

    def _do_locked(self, work: Callable[[sqlite3.Connection], T], patience_s: float, *, again: bool = True) -> T:
        try:
            return work(self._opened(patience_s))
        except sqlite3.Error as error:
            if again and isinstance(error, sqlite3.ProgrammingError):
                # A signal handler of the host closed it between the two.
                return self._do_locked(work, patience_s, again=False)
            if not _is_damaged(error):
                raise self._explained(error) from None
        try:
            self._replace_damaged()
            return work(self._opened(patience_s))
        except sqlite3.Error as error:
            raise self._explained(error) from None

    def _opened(self, patience_s: float) -> sqlite3.Connection:
        if any(self._inherited):
            raise OutboxError(
                "outbox_inherited",
                f"The outbox {self.path} was open when this process was forked without Python's own fork hooks;"
                " make the Tracker after the fork.",
            )
        database = self._database
        if database is None or self._moved():
            self.close()
            self._database = database = self._open()
            self._patience_s = _PATIENCE_S
        if patience_s != self._patience_s:  # changing it is a statement of its own
            database.execute(f"PRAGMA busy_timeout = {int(patience_s * 1000)}")
            self._patience_s = patience_s
        return database

    def _moved(self) -> bool:
        """Whether somebody removed or replaced the file: what is written into a removed one is lost with us."""
        try:
            return os.stat(self._name).st_ino != self._inode  # noqa: PTH116  a Path costs twice as much
        except OSError:
            return True

    def _open(self) -> sqlite3.Connection:
        make_directory(self.path)
        if not exists(self.path):
            _create(self.path)
        database = sqlite3.connect(self.path, timeout=_PATIENCE_S, isolation_level=None, check_same_thread=False)
        try:
            if database.execute("PRAGMA journal_mode").fetchone()[0] != "wal":
                database.execute("PRAGMA journal_mode = WAL")
            # Durable against the end of the process; a power cut may take the last moments.
            database.execute("PRAGMA synchronous = NORMAL")
            page_size = database.execute("PRAGMA page_size").fetchone()[0]
            database.execute(f"PRAGMA max_page_count = {self._max_mb * 1_000_000 // page_size}")
            if not database.execute("SELECT 1 FROM sqlite_schema WHERE name = 'notes'").fetchone():
                database.executescript(_SCHEMA)
        except BaseException:
            database.close()
            raise
        self._inode = self.path.stat().st_ino
        return database

    def _replace_damaged(self) -> None:
        """Move a damaged file aside, unless another process already did."""
        self.close()
        with self._file_lock("repair", wait=True):
            if self._is_sound():
                return
            self.close()
            aside = self.path.with_name(f"{self.path.name}.damaged-{time.time_ns()}")
            try:
                for suffix in ("-wal", "-shm", ""):
                    if (part := Path(f"{self.path}{suffix}")).exists():
                        part.rename(f"{aside}{suffix}")
            except OSError as error:
                raise _unwritable(self.path, error.strerror or type(error).__name__) from None
        if self._on_damage:
            self._on_damage(aside)

    def _is_sound(self) -> bool:
        try:
            self._database = self._open()
            answer: tuple[str] = self._database.execute("PRAGMA quick_check(1)").fetchone()
        except sqlite3.Error as error:
            return not _is_damaged(error)
        return answer == ("ok",)

    def busy(self) -> OutboxError:
        """The error for a lock that wasn't had in time."""
        return OutboxError("outbox_busy", f"The outbox {self.path} stayed locked by another process or thread.")

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
            return OutboxError(
                "outbox_damaged", f"The outbox {self.path} is damaged. Move it away and look at the disk."
            )
        reason = "it is read-only" if code == _READONLY else "the disk refused"
        return _unwritable(self.path, reason)


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


@contextmanager
def _transaction(database: sqlite3.Connection) -> Iterator[None]:
    database.execute("BEGIN IMMEDIATE")
    try:
        yield
        database.execute("COMMIT")
    except BaseException:
        if database.in_transaction:
            database.execute("ROLLBACK")
        raise


def _primary_code(error: sqlite3.Error) -> int:
    return getattr(error, "sqlite_errorcode", 0) & 0xFF


def _is_damaged(error: sqlite3.Error) -> bool:
    return _primary_code(error) in {_CORRUPT, _NOT_A_DATABASE}


def _unwritable(path: Path, reason: str) -> OutboxError:
    return OutboxError(
        "outbox_unwritable",
        f"The outbox {path} can't be written: {reason}. Set TRACKER_OUTBOX to a file that can be.",
    )
