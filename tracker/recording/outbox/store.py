"""The outbox: a durable local journal of records, used by many threads and processes at once.

SQLite in WAL mode: what was appended survives the end of the process, also by kill -9. A record stays until the
database has it, so that a crash at any moment leads at worst to a second delivery, which its id makes harmless.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Container, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from typing import TYPE_CHECKING, NamedTuple

from tracker.recording.outbox.sqlite_file import LOCK_TIMEOUT_S, OutboxFile

if TYPE_CHECKING:
    import sqlite3

    from tracker.recording.number_ranges import Range
    from tracker.recording.outbox.drain_lock import DrainLease

_APPEND = "INSERT OR IGNORE INTO records VALUES (?, ?, ?, ?, ?)"
# A statement that takes long on a slow line is cut at its deadline, and memory is scarce in a function.
BATCH_CHARACTERS = 4_000_000
_RANGES = (
    "SELECT {columns}min(sequence), max(sequence) FROM (SELECT instance, sequence,"
    " sequence - row_number() OVER (PARTITION BY instance ORDER BY sequence) AS run FROM records {condition})"
    " GROUP BY instance, run ORDER BY instance, run"
)
_KEY = "id = ? AND instance = ? AND sequence = ?"


class QueuedRecord(NamedTuple):
    """A record in the outbox; `document` is its row as one JSON object."""

    id: str
    instance: str
    sequence: int
    document: str

    @property
    def key(self) -> tuple[str, str, int]:
        return self[:3]


class OutboxDepth(NamedTuple):
    """How much lies in an outbox; `oldest_at` is seconds since the epoch, None when nothing waits."""

    waiting: int
    dead_letters: int
    oldest_at: float | None


class Outbox(OutboxFile):
    """The records and notes in one outbox file."""

    def append(
        self, record: QueuedRecord, queued_at: float | None = None, lock_timeout_s: float = LOCK_TIMEOUT_S
    ) -> None:
        """Make one record durable; twice the same one is one."""
        values = (*record, time.time() if queued_at is None else queued_at)
        self.do(lambda database: database.execute(_APPEND, values), lock_timeout_s)

    def append_next(self, make: Callable[[], QueuedRecord], lock_timeout_s: float) -> None:
        """Make the record durable that `make` gives, which is called when no other thread can come in between."""
        self.do(lambda database: database.execute(_APPEND, (*make(), time.time())), lock_timeout_s)

    def next_records(
        self,
        limit: int,
        after: QueuedRecord | None = None,
        size: int = BATCH_CHARACTERS,
        without: Container[object] = (),
    ) -> list[QueuedRecord]:
        """The next records, in the order of their ids, behind `after`; at most so many, and so many characters.

        Those whose key is in `without` are left out.
        """
        question = (
            "SELECT id, instance, sequence, document FROM records WHERE (id, instance, sequence) > (?, ?, ?)"
            " ORDER BY id, instance, sequence"
        )

        def read(database: sqlite3.Connection) -> list[QueuedRecord]:
            found: list[QueuedRecord] = []
            left = size
            with closing(database.execute(question, after.key if after else ("", "", 0))) as cursor:
                for row in cursor if limit > 0 else ():
                    if row[:3] in without:
                        continue
                    found.append(QueuedRecord._make(row))
                    left -= len(row[3])
                    if left <= 0 or len(found) >= limit:
                        break
            return found

        return self.do(read)

    def find(self, keys: Iterable[tuple[str, str, int]]) -> list[QueuedRecord]:
        """The records with these keys, as far as they wait."""
        question = f"SELECT id, instance, sequence, document FROM records WHERE {_KEY}"  # noqa: S608  our own text

        def read(database: sqlite3.Connection) -> list[QueuedRecord]:
            return [QueuedRecord._make(row) for key in keys for row in database.execute(question, key)]

        return self.do(read)

    def ranges(self, instance: str, after: int, before: int) -> list[Range]:
        """The numbers of a process between these two that wait, as ranges."""
        question = _RANGES.format(columns="", condition="WHERE instance = ? AND sequence > ? AND sequence < ?")
        return self.do(lambda database: database.execute(question, (instance, after, before)).fetchall())

    def all_ranges(self) -> list[tuple[QueuedRecord, list[Range]]]:
        """Each process whose records wait: one of its records, and its numbers as ranges."""
        one = "SELECT id, instance, sequence, document FROM records WHERE instance = ? LIMIT 1"

        def read(database: sqlite3.Connection) -> list[tuple[QueuedRecord, list[Range]]]:
            found: dict[str, list[Range]] = {}
            for instance, first, last in database.execute(_RANGES.format(columns="instance, ", condition="")):
                found.setdefault(instance, []).append((first, last))
            return [(QueuedRecord._make(database.execute(one, (name,)).fetchone()), found[name]) for name in found]

        return self.do(read)

    def remove(self, delivered: Iterable[QueuedRecord], lease: DrainLease | None = None) -> None:
        """Forget records that the database has. Raises `OutboxError`, also when the lease is over."""
        keys = [record.key for record in delivered]
        if not keys:
            return

        def delete(database: sqlite3.Connection) -> None:
            with _transaction(database):
                if lease is not None:
                    lease.beat(database)
                database.executemany(f"DELETE FROM records WHERE {_KEY}", keys)  # noqa: S608  our own text

        self.do(delete)

    def add_dead_letter(self, record: QueuedRecord, reason: str) -> None:
        """Keep a record that the database refuses, with the reason, out of the others' way."""

        def move(database: sqlite3.Connection) -> None:
            with _transaction(database):
                values = (*record, time.time(), reason)
                database.execute("INSERT OR REPLACE INTO set_aside VALUES (?, ?, ?, ?, ?, ?)", values)
                database.execute(f"DELETE FROM records WHERE {_KEY}", record.key)  # noqa: S608  our own text

        self.do(move)

    def dead_letters(self) -> list[tuple[QueuedRecord, str]]:
        """The records that were set aside, each with its reason."""
        question = "SELECT id, instance, sequence, document, reason FROM set_aside ORDER BY id"
        return self.do(lambda database: [(QueuedRecord(*row[:4]), row[4]) for row in database.execute(question)])

    def requeue_dead_letters(self) -> int:
        """Queue what was set aside again, once its cause is gone; how many records that were."""

        def move(database: sqlite3.Connection) -> int:
            with _transaction(database):
                database.execute(
                    "INSERT OR IGNORE INTO records SELECT id, instance, sequence, document, queued_at FROM set_aside"
                )
                return database.execute("DELETE FROM set_aside").rowcount

        return self.do(move)

    def depth(self, before: float | None = None, lock_timeout_s: float = LOCK_TIMEOUT_S) -> OutboxDepth:
        """How much waits (queued at `before` or earlier, where given), and how much is set aside."""
        limit = before if before is not None else 1e12
        question = "SELECT count(*), (SELECT count(*) FROM set_aside), min(queued_at) FROM records WHERE queued_at <= ?"
        return self.do(lambda database: OutboxDepth(*database.execute(question, (limit,)).fetchone()), lock_timeout_s)

    def newest(self) -> float | None:
        """When the last of those that wait was queued, by the clocks of who queued them."""
        question = "SELECT max(queued_at) FROM records"
        return self.do(lambda database: database.execute(question).fetchone()[0])  # type: ignore[no-any-return]

    def empty(self) -> bool:
        """Whether nothing waits, neither a record nor a note."""
        question = "SELECT NOT EXISTS (SELECT 1 FROM records) AND NOT EXISTS (SELECT 1 FROM notes)"
        return self.do(lambda database: bool(database.execute(question).fetchone()[0]))

    # --- notes: what the database is to know besides the records ---

    def note(self, kind: str, document: str, lock_timeout_s: float = LOCK_TIMEOUT_S) -> None:
        """Keep an entry for the ledger or the table of alerts until the database has it."""
        self.do(
            lambda database: database.execute("INSERT INTO notes (kind, document) VALUES (?, ?)", (kind, document)),
            lock_timeout_s,
        )

    def notes(self, limit: int) -> list[tuple[int, str, str]]:
        """The next notes: number, kind, document."""
        question = "SELECT number, kind, document FROM notes ORDER BY number LIMIT ?"
        return self.do(lambda database: database.execute(question, (limit,)).fetchall())

    def remove_notes(self, numbers: Sequence[int], lease: DrainLease | None = None) -> None:
        """Forget notes that the database has. Raises `OutboxError`, also when the lease is over."""

        def delete(database: sqlite3.Connection) -> None:
            with _transaction(database):
                if lease is not None:
                    lease.beat(database)
                database.executemany("DELETE FROM notes WHERE number = ?", [(number,) for number in numbers])

        self.do(delete)


@contextmanager
def _transaction(database: sqlite3.Connection) -> Iterator[None]:
    database.execute("BEGIN IMMEDIATE")
    try:
        yield
        database.execute("COMMIT")
    except BaseException:
        with suppress(Exception):  # closed meanwhile, which rolls back too; the first cause counts
            if database.in_transaction:
                database.execute("ROLLBACK")
        raise
