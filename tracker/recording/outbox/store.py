"""The outbox: a durable local queue of records, which many threads and processes can use at once.

SQLite in WAL mode: appended records survive the end of the process, also by kill -9. A record is removed only after
the database has stored it, so that a crash can only cause a second delivery, which has no effect because of its id.
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
# Limits a batch: on a slow network a statement must end before its deadline, and functions have little memory.
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
    """The number of records in an outbox; `oldest_at` is in seconds since the epoch, None without queued records."""

    waiting: int
    dead_letters: int
    oldest_at: float | None


class Outbox(OutboxFile):
    """The records and notes in one outbox file."""

    def append(
        self, record: QueuedRecord, queued_at: float | None = None, lock_timeout_s: float = LOCK_TIMEOUT_S
    ) -> None:
        """Append one record durably; appending it twice has no effect."""
        values = (*record, time.time() if queued_at is None else queued_at)
        self.do(lambda database: database.execute(_APPEND, values), lock_timeout_s)

    def append_built(self, build: Callable[[], QueuedRecord], lock_timeout_s: float) -> None:
        """Append the record that `build` returns; `build` is called while this thread has the file's lock."""
        self.do(lambda database: database.execute(_APPEND, (*build(), time.time())), lock_timeout_s)

    def next_records(
        self,
        limit: int,
        after: QueuedRecord | None = None,
        size: int = BATCH_CHARACTERS,
        without: Container[object] = (),
    ) -> list[QueuedRecord]:
        """The next records after `after`, ordered by id: at most `limit` records and about `size` characters.

        Records whose key is in `without` are skipped.
        """
        query = (
            "SELECT id, instance, sequence, document FROM records WHERE (id, instance, sequence) > (?, ?, ?)"
            " ORDER BY id, instance, sequence"
        )

        def read(database: sqlite3.Connection) -> list[QueuedRecord]:
            records: list[QueuedRecord] = []
            left = size
            has_exceptions = bool(without)
            with closing(database.execute(query, after.key if after else ("", "", 0))) as cursor:
                for row in cursor if limit > 0 else ():
                    if has_exceptions and row[:3] in without:
                        continue
                    records.append(QueuedRecord._make(row))
                    left -= len(row[3])
                    if left <= 0 or len(records) >= limit:
                        break
            return records

        return self.do(read)

    def find(self, keys: Iterable[tuple[str, str, int]]) -> list[QueuedRecord]:
        """The queued records with these keys."""
        query = f"SELECT id, instance, sequence, document FROM records WHERE {_KEY}"  # noqa: S608  constant text

        def read(database: sqlite3.Connection) -> list[QueuedRecord]:
            return [QueuedRecord._make(row) for key in keys for row in database.execute(query, key)]

        return self.do(read)

    def ranges(self, instance: str, after: int, before: int) -> list[Range]:
        """The queued numbers of a process between `after` and `before`, as ranges."""
        query = _RANGES.format(columns="", condition="WHERE instance = ? AND sequence > ? AND sequence < ?")
        return self.do(lambda database: database.execute(query, (instance, after, before)).fetchall())

    def all_ranges(self) -> list[tuple[QueuedRecord, list[Range]]]:
        """For each process with queued records: one of its records, and its queued numbers as ranges."""
        query = "SELECT id, instance, sequence, document FROM records WHERE instance = ? LIMIT 1"

        def read(database: sqlite3.Connection) -> list[tuple[QueuedRecord, list[Range]]]:
            ranges: dict[str, list[Range]] = {}
            for instance, first, last in database.execute(_RANGES.format(columns="instance, ", condition="")):
                ranges.setdefault(instance, []).append((first, last))
            return [(QueuedRecord._make(database.execute(query, (name,)).fetchone()), ranges[name]) for name in ranges]

        return self.do(read)

    def remove(self, delivered: Iterable[QueuedRecord], lease: DrainLease | None = None) -> None:
        """Remove delivered records. Raises `OutboxError`, also when the lease has ended."""
        keys = [record.key for record in delivered]
        if not keys:
            return

        def delete(database: sqlite3.Connection) -> None:
            with _transaction(database):
                if lease is not None:
                    lease.beat(database)
                database.executemany(f"DELETE FROM records WHERE {_KEY}", keys)  # noqa: S608  constant text

        self.do(delete)

    def add_dead_letter(self, record: QueuedRecord, reason: str) -> None:
        """Move a record that the database refuses to the dead letters, with the reason."""

        def move(database: sqlite3.Connection) -> None:
            with _transaction(database):
                values = (*record, time.time(), reason)
                database.execute("INSERT OR REPLACE INTO set_aside VALUES (?, ?, ?, ?, ?, ?)", values)
                database.execute(f"DELETE FROM records WHERE {_KEY}", record.key)  # noqa: S608  constant text

        self.do(move)

    def dead_letters(self) -> list[tuple[QueuedRecord, str]]:
        """The dead letters, each with its reason."""
        query = "SELECT id, instance, sequence, document, reason FROM set_aside ORDER BY id"
        return self.do(lambda database: [(QueuedRecord(*row[:4]), row[4]) for row in database.execute(query)])

    def requeue_dead_letters(self) -> int:
        """Queue all dead letters again; returns their number."""

        def move(database: sqlite3.Connection) -> int:
            with _transaction(database):
                database.execute(
                    "INSERT OR IGNORE INTO records SELECT id, instance, sequence, document, queued_at FROM set_aside"
                )
                return database.execute("DELETE FROM set_aside").rowcount

        return self.do(move)

    def depth(self, before: float | None = None, lock_timeout_s: float = LOCK_TIMEOUT_S) -> OutboxDepth:
        """The number of queued records (if given, only those with `queued_at` up to `before`) and of dead letters."""
        limit = before if before is not None else 1e12
        query = "SELECT count(*), (SELECT count(*) FROM set_aside), min(queued_at) FROM records WHERE queued_at <= ?"
        return self.do(lambda database: OutboxDepth(*database.execute(query, (limit,)).fetchone()), lock_timeout_s)

    def newest(self) -> float | None:
        """The latest `queued_at` of the queued records, which is the clock of the process that queued them."""
        query = "SELECT max(queued_at) FROM records"
        return self.do(lambda database: database.execute(query).fetchone()[0])  # type: ignore[no-any-return]

    def empty(self) -> bool:
        """Whether the outbox contains neither queued records nor notes."""
        query = "SELECT NOT EXISTS (SELECT 1 FROM records) AND NOT EXISTS (SELECT 1 FROM notes)"
        return self.do(lambda database: bool(database.execute(query).fetchone()[0]))

    # --- notes: ledger lines and alerts for the database ---

    def note(self, kind: str, document: str, lock_timeout_s: float = LOCK_TIMEOUT_S) -> None:
        """Store a ledger line or an alert until the database has stored it."""
        self.do(
            lambda database: database.execute("INSERT INTO notes (kind, document) VALUES (?, ?)", (kind, document)),
            lock_timeout_s,
        )

    def notes(self, limit: int) -> list[tuple[int, str, str]]:
        """The next notes: number, kind, document."""
        query = "SELECT number, kind, document FROM notes ORDER BY number LIMIT ?"
        return self.do(lambda database: database.execute(query, (limit,)).fetchall())

    def remove_notes(self, numbers: Sequence[int], lease: DrainLease | None = None) -> None:
        """Remove delivered notes. Raises `OutboxError`, also when the lease has ended."""

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
        with suppress(Exception):  # a closed connection has rolled back already; the first error is raised
            if database.in_transaction:
                database.execute("ROLLBACK")
        raise
