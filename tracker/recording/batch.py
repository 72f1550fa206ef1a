"""Rows in bulk: one statement a batch, and a refused row stops nobody else's."""

from __future__ import annotations

from typing import Any

from tracker.database.driver import Connection
from tracker.errors import RecordError
from tracker.recording.statement import Row, Target, insert, insert_many

BATCH_ROWS = 1000
Refused = list[tuple[Any, str]]


class BatchWriter:
    """Stores rows as they come; counts what was new, what was there already, and hands back what was refused."""

    def __init__(self, connection: Connection, schema: str | None) -> None:
        """Raises `DatabaseError`, as do the other methods; what was stored until then stays."""
        self._connection = connection
        self._target = Target.read(connection, schema)
        self._waiting: list[tuple[Row, Any]] = []
        self.new = 0
        self.known = 0

    @property
    def count(self) -> int:
        """Rows taken so far, refused ones left out."""
        return self.new + self.known + len(self._waiting)

    def add(self, row: Row, source: Any) -> Refused:
        """Take a row and what it came from; the refused rows of a batch that this one completed."""
        full = len(self._waiting) >= BATCH_ROWS or (self._waiting and self._waiting[0][0].keys() != row.keys())
        refused = self.flush() if full else []
        self._waiting.append((row, source))
        return refused

    def flush(self) -> Refused:
        """Store what waits; each refused row's source and the reason."""
        waiting, self._waiting = self._waiting, []
        if not waiting:
            return []
        try:
            new = insert_many(self._connection, self._target, [row for row, _ in waiting])
        except RecordError:
            return self._one_by_one(waiting)
        self._counted(len(waiting), new)
        return []

    def _one_by_one(self, waiting: list[tuple[Row, Any]]) -> Refused:
        refused = []
        for row, source in waiting:
            try:
                self._counted(1, int(insert(self._connection, self._target, row)))
            except RecordError as error:
                refused.append((source, error.sentence))
        return refused

    def _counted(self, rows: int, new: int) -> None:
        self.new += new
        self.known += rows - new
