"""Rows in bulk: one statement a batch, and a refused row stops nobody else's."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

from tracker.database.connect import Connection, execute
from tracker.errors import DatabaseError, RecordError
from tracker.recording.insert import Row, Target, find_missing_ids, insert, insert_many, row_swallowed_error

BATCH_ROWS = 1000
RefusedRows = list[tuple[Any, str]]
Step = Callable[[Connection], AbstractContextManager[None]]


def _plainly(_: Connection) -> AbstractContextManager[None]:
    return nullcontext()


@contextmanager
def savepoint(connection: Connection) -> Iterator[None]:
    """A part of a transaction that may fail by itself, so that the rest goes on."""
    execute(connection, "SAVEPOINT tracker")
    try:
        yield
    except DatabaseError:
        if not connection.closed:
            execute(connection, "ROLLBACK TO SAVEPOINT tracker")
        raise
    execute(connection, "RELEASE SAVEPOINT tracker")


class BatchWriter:
    """Stores rows as they come; counts what was new, what was there already, and hands back what was refused."""

    def __init__(self, connection: Connection, schema: str | None, step: Step = _plainly) -> None:
        """Raises `DatabaseError`, as do the other methods; what was stored until then stays.

        `step` is what each statement runs in: `savepoint` inside a transaction of the caller's.
        """
        self._connection = connection
        self._step = step
        self._target = Target.read(connection, schema)
        self._waiting: list[tuple[Row, Any]] = []
        self.new = 0
        self.known = 0

    @property
    def count(self) -> int:
        """Rows taken so far, refused ones left out."""
        return self.new + self.known + len(self._waiting)

    def add(self, row: Row, source: Any) -> RefusedRows:
        """Take a row and what it came from; the refused rows of a batch that this one completed."""
        full = len(self._waiting) >= BATCH_ROWS or (self._waiting and self._waiting[0][0].keys() != row.keys())
        refused = self.flush() if full else []
        self._waiting.append((row, source))
        return refused

    def flush(self) -> RefusedRows:
        """Store what waits; each refused row's source and the reason."""
        waiting, self._waiting = self._waiting, []
        if not waiting:
            return []
        alike: dict[tuple[str, ...], list[tuple[Row, Any]]] = {}
        for row, source in waiting:
            alike.setdefault(self._target.columns(row), []).append((row, source))
        return [one for rows in alike.values() for one in self._store(rows)]

    def _store(self, waiting: list[tuple[Row, Any]]) -> RefusedRows:
        try:
            with self._step(self._connection):
                new = insert_many(self._connection, self._target, [row for row, _ in waiting])
        except RecordError:
            return self._one_by_one(waiting)
        refused = []
        if new < len(waiting):
            gone = find_missing_ids(self._connection, self._target, [str(row["id"]) for row, _ in waiting])
            refused = [(source, row_swallowed_error().sentence) for row, source in waiting if str(row["id"]) in gone]
        self._counted(len(waiting) - len(refused), new)
        return refused

    def _one_by_one(self, waiting: list[tuple[Row, Any]]) -> RefusedRows:
        refused = []
        for row, source in waiting:
            try:
                with self._step(self._connection):
                    new = insert(self._connection, self._target, row)
                if not new and find_missing_ids(self._connection, self._target, [str(row["id"])]):
                    raise row_swallowed_error()
                self._counted(1, int(new))
            except RecordError as error:
                refused.append((source, error.sentence))
        return refused

    def _counted(self, rows: int, new: int) -> None:
        self.new += new
        self.known += rows - new
