"""Bulk insert: one statement for each batch of rows; a refused row doesn't prevent the other rows."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

from tracker.database.connect import Connection, execute
from tracker.errors import DatabaseError, RecordError
from tracker.recording.insert import Row, Target, find_missing_ids, insert, insert_many, row_swallowed_error

BATCH_ROWS = 1000
RefusedRows = list[tuple[Any, str]]
StatementContext = Callable[[Connection], AbstractContextManager[None]]


def _no_context(_: Connection) -> AbstractContextManager[None]:
    return nullcontext()


@contextmanager
def savepoint(connection: Connection) -> Iterator[None]:
    """A savepoint around the block: if the block fails, only its statements are rolled back."""
    execute(connection, "SAVEPOINT tracker")
    try:
        yield
    except DatabaseError:
        if not connection.closed:
            execute(connection, "ROLLBACK TO SAVEPOINT tracker")
        raise
    execute(connection, "RELEASE SAVEPOINT tracker")


class BatchWriter:
    """Inserts rows in batches; counts the new and the already stored rows, and returns the refused ones."""

    def __init__(self, connection: Connection, schema: str | None, context: StatementContext = _no_context) -> None:
        """Raises `DatabaseError`, as the other methods do; rows that were stored before the error stay.

        `context` wraps each statement; pass `savepoint` inside a transaction of the caller.
        """
        self._connection = connection
        self._context = context
        self._target = Target.read(connection, schema)
        self._pending: list[tuple[Row, Any]] = []
        self.new = 0
        self.known = 0

    @property
    def count(self) -> int:
        """The number of rows accepted so far, without refused ones."""
        return self.new + self.known + len(self._pending)

    def add(self, row: Row, source: Any) -> RefusedRows:
        """Add a row and its source; returns the refused rows if this call stored the previous batch."""
        is_full = len(self._pending) >= BATCH_ROWS or (self._pending and self._pending[0][0].keys() != row.keys())
        refused = self.flush() if is_full else []
        self._pending.append((row, source))
        return refused

    def flush(self) -> RefusedRows:
        """Store the pending rows; returns the source and the reason of each refused row."""
        pending, self._pending = self._pending, []
        if not pending:
            return []
        by_columns: dict[tuple[str, ...], list[tuple[Row, Any]]] = {}
        for row, source in pending:
            by_columns.setdefault(self._target.columns(row), []).append((row, source))
        return [refusal for rows in by_columns.values() for refusal in self._store(rows)]

    def _store(self, rows: list[tuple[Row, Any]]) -> RefusedRows:
        try:
            with self._context(self._connection):
                new = insert_many(self._connection, self._target, [row for row, _ in rows])
        except RecordError:
            return self._store_one_by_one(rows)
        refused = []
        if new < len(rows):
            missing = find_missing_ids(self._connection, self._target, [str(row["id"]) for row, _ in rows])
            refused = [(source, row_swallowed_error().sentence) for row, source in rows if str(row["id"]) in missing]
        self._add_counts(len(rows) - len(refused), new)
        return refused

    def _store_one_by_one(self, rows: list[tuple[Row, Any]]) -> RefusedRows:
        refused = []
        for row, source in rows:
            try:
                with self._context(self._connection):
                    new = insert(self._connection, self._target, row)
                if not new and find_missing_ids(self._connection, self._target, [str(row["id"])]):
                    raise row_swallowed_error()
                self._add_counts(1, int(new))
            except RecordError as error:
                refused.append((source, error.sentence))
        return refused

    def _add_counts(self, rows: int, new: int) -> None:
        self.new += new
        self.known += rows - new
