"""Bulk insert by COPY: one transaction for each block of rows, stored while the caller reads the next block."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import datetime
from types import TracebackType
from typing import Any, NamedTuple, Protocol

from tracker.database.connect import Connection, copy, execute
from tracker.database.transactions import transaction
from tracker.errors import DatabaseError, RecordError
from tracker.recording.bulk_insert import BatchWriter, RefusedRows
from tracker.recording.insert import Row, Target, find_missing_ids, row_swallowed_error, stored_value


class CopyRows(Protocol):
    """Rows that are stored together: column by column for COPY, or one by one if COPY fails."""

    @property
    def columns(self) -> Mapping[str, Sequence[str]]:
        """The columns whose values differ, `id` included, in COPY's text format."""

    @property
    def constants(self) -> Mapping[str, Any]:
        """The columns whose value is the same in all rows, as Python values."""

    @property
    def created_at(self) -> Sequence[datetime]:
        """Each row's `created_at`."""

    def row(self, index: int) -> Row:
        """One row by column name, as Python values."""

    def source(self, index: int) -> Any:
        """The input of one row, which is returned if the row is refused."""


class CopyWriter:
    """Stores rows in bulk; counts the new and the already stored rows, and returns the refused ones.

    The rows are copied into a temporary table and inserted from there by id; ids that the table contains are skipped.
    An interrupted run can therefore be repeated with the same rows. The context manager ends when all rows are stored.
    """

    def __init__(self, connection: Connection, schema: str | None) -> None:
        """The writer uses the connection exclusively until it ends. Raises `DatabaseError`, as the other methods do."""
        self._connection = connection
        self._schema = schema
        self._target = Target.read(connection, schema)
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="tracker-copy")
        self._storing: Future[RefusedRows] | None = None
        self.new = 0
        self.known = 0

    def __enter__(self) -> CopyWriter:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._thread.shutdown()

    @property
    def count(self) -> int:
        """The number of rows that the table contains now, without refused ones."""
        return self.new + self.known

    def add(self, rows: CopyRows) -> RefusedRows:
        """Store rows in a thread; returns the source and the reason of each refused row of the previous block."""
        # The text is made in this thread: the other one then only waits for the server and rarely needs the GIL.
        text = _CopyText.of(rows, self._target)
        refused = self.flush()
        self._storing = self._thread.submit(self._store, rows, text)
        return refused

    def flush(self) -> RefusedRows:
        """Wait until all rows are stored; returns the source and the reason of each refused row of the last block."""
        refused = self._storing.result() if self._storing else []
        self._storing = None  # only now: a caller that is interrupted while it waits can wait again
        return refused

    def wait(self) -> None:
        """Wait until the connection is free; `flush` then returns what was refused."""
        if self._storing:
            self._storing.exception()

    def _store(self, rows: CopyRows, text: _CopyText) -> RefusedRows:
        try:
            new = self._copy(text)
        except DatabaseError as error:
            # One refused row fails the whole COPY, and not every role may create a temporary table.
            if not isinstance(error, RecordError) and error.code != "right_missing":
                raise
            return self._insert(rows)
        count = len(rows.created_at)
        refused = self._find_swallowed(rows) if new < count else []
        self._add_counts(count - len(refused), new)
        return refused

    def _find_swallowed(self, rows: CopyRows) -> RefusedRows:
        """The rows that the table accepted but didn't store; needed only if fewer rows were new than were sent."""
        ids = rows.columns["id"]
        missing = find_missing_ids(self._connection, self._target, ids)
        return [(rows.source(index), row_swallowed_error().sentence) for index, id_ in enumerate(ids) if id_ in missing]

    def _copy(self, text: _CopyText) -> int:
        names = ", ".join(text.columns)
        constant_names = "".join(f", {name}" for name in text.constants)
        placeholders = ", %s" * len(text.constants)
        create = (
            "CREATE TEMPORARY TABLE token_tracker_import ON COMMIT DROP AS"  # noqa: S608  constant names
            f" SELECT {names} FROM {self._target.name} WITH NO DATA"
        )
        with transaction(self._connection, first_statements=create):
            copy(self._connection, f"COPY pg_temp.token_tracker_import ({names}) FROM STDIN", io.StringIO(text.cells))
            new, _ = execute(
                self._connection,
                f"INSERT INTO {self._target.name} ({names}{constant_names}) SELECT {names}{placeholders}"  # noqa: S608
                # All imports insert in the same order, so that two at once can't deadlock.
                " FROM pg_temp.token_tracker_import ORDER BY id ON CONFLICT (id) DO NOTHING",
                list(text.constants.values()),
            )
        return new

    def _insert(self, rows: CopyRows) -> RefusedRows:
        writer = BatchWriter(self._connection, self._schema)
        refused = []
        for index in range(len(rows.created_at)):
            refused += writer.add(rows.row(index), rows.source(index))
        refused += writer.flush()
        self._add_counts(writer.new + writer.known, writer.new)
        return refused

    def _add_counts(self, rows: int, new: int) -> None:
        self.new += new
        self.known += rows - new


class _CopyText(NamedTuple):
    """Rows in COPY's text format for `columns`, and the values of the constant columns."""

    columns: Sequence[str]
    cells: str
    constants: Mapping[str, Any]

    @classmethod
    def of(cls, rows: CopyRows, target: Target) -> _CopyText:
        columns = {name: cells for name, cells in rows.columns.items() if name not in target.omitted}
        if target.zone and "created_at" in columns:
            columns["created_at"] = [stored_value("created_at", time, target.zone) for time in rows.created_at]
        names = target.columns(rows.constants)
        constants = {name: stored_value(name, rows.constants[name], target.zone) for name in names}
        return cls(list(columns), "\n".join(map("\t".join, zip(*columns.values(), strict=True))) + "\n", constants)
