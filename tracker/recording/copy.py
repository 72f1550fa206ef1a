"""Rows in bulk by COPY: a block a transaction, stored while the next is read; a refused row stops nobody else's."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import datetime
from types import TracebackType
from typing import Any, NamedTuple, Protocol

from tracker.database.connect import Connection, copy, execute
from tracker.errors import DatabaseError, RecordError
from tracker.recording.bulk_insert import BatchWriter, Refused
from tracker.recording.insert import Row, Target, absent, stored_value, swallowed


class Rows(Protocol):
    """Rows that are stored together: column by column for COPY, and one by one where that can't be."""

    @property
    def columns(self) -> Mapping[str, Sequence[str]]:
        """What differs, in COPY's text format; `id` is among it."""

    @property
    def constants(self) -> Mapping[str, Any]:
        """What is the same in all rows, as Python values."""

    @property
    def created_at(self) -> Sequence[datetime]:
        """Each row's `created_at`."""

    def row(self, index: int) -> Row:
        """One of them, by the columns' names, as Python values."""

    def source(self, index: int) -> Any:
        """What one of them was made of: that is handed back if it is refused."""


class CopyWriter:
    """Stores rows in bulk; counts what was new, what was there already, and hands back what was refused.

    They are copied beside the table and inserted from there by id, so that what an earlier run stored is passed over:
    whatever ends a run, the same rows again add the rest. A context manager: it ends when what it was given is stored.
    """

    def __init__(self, connection: Connection, schema: str | None) -> None:
        """The connection is this writer's until it is closed. Raises `DatabaseError`, as do the other methods."""
        self._connection = connection
        self._schema = schema
        self._target = Target.read(connection, schema)
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="tracker-copy")
        self._storing: Future[Refused] | None = None
        self.new = 0
        self.known = 0

    def __enter__(self) -> CopyWriter:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._thread.shutdown()

    @property
    def count(self) -> int:
        """Rows that are in the table now, refused ones left out."""
        return self.new + self.known

    def add(self, rows: Rows) -> Refused:
        """Store rows while the next are made; each refused row of those before, and the reason."""
        # Written here: the thread then only waits for the server, and takes no turns from the reading.
        text = _Text.of(rows, self._target)
        refused = self.flush()
        self._storing = self._thread.submit(self._store, rows, text)
        return refused

    def flush(self) -> Refused:
        """Wait until all is stored; each refused row of the last, and the reason."""
        refused = self._storing.result() if self._storing else []
        self._storing = None  # only now: whoever is interrupted while waiting may wait again
        return refused

    def wait(self) -> None:
        """Wait until the connection is free; `flush` then returns what was refused."""
        if self._storing:
            self._storing.exception()

    def _store(self, rows: Rows, text: _Text) -> Refused:
        try:
            new = self._copy(text)
        except DatabaseError as error:
            # One row that is refused refuses them all; and not every role may make a temporary table.
            if not isinstance(error, RecordError) and error.code != "right_missing":
                raise
            return self._insert(rows)
        count = len(rows.created_at)
        refused = self._swallowed(rows) if new < count else []
        self._counted(count - len(refused), new)
        return refused

    def _swallowed(self, rows: Rows) -> Refused:
        """The rows that were taken and yet aren't there; asked only where fewer were new than were given."""
        ids = rows.columns["id"]
        gone = absent(self._connection, self._target, ids)
        return [(rows.source(index), swallowed().sentence) for index, one in enumerate(ids) if one in gone]

    def _copy(self, text: _Text) -> int:
        names = ", ".join(text.columns)
        everywhere = "".join(f", {name}" for name in text.constants)
        places = ", %s" * len(text.constants)
        try:
            execute(
                self._connection,
                "BEGIN; CREATE TEMPORARY TABLE token_tracker_import ON COMMIT DROP AS"  # noqa: S608  our own names
                f" SELECT {names} FROM {self._target.name} WITH NO DATA",
            )
            copy(self._connection, f"COPY pg_temp.token_tracker_import ({names}) FROM STDIN", io.StringIO(text.cells))
            new, _ = execute(
                self._connection,
                f"INSERT INTO {self._target.name} ({names}{everywhere}) SELECT {names}{places}"  # noqa: S608
                # In one order: two imports at once wait for each other, and never in a circle.
                " FROM pg_temp.token_tracker_import ORDER BY id ON CONFLICT (id) DO NOTHING",
                list(text.constants.values()),
            )
            execute(self._connection, "COMMIT")
        except BaseException:
            if not self._connection.closed:
                execute(self._connection, "ROLLBACK")
            raise
        return new

    def _insert(self, rows: Rows) -> Refused:
        writer = BatchWriter(self._connection, self._schema)
        refused = []
        for index in range(len(rows.created_at)):
            refused += writer.add(rows.row(index), rows.source(index))
        refused += writer.flush()
        self._counted(writer.new + writer.known, writer.new)
        return refused

    def _counted(self, rows: int, new: int) -> None:
        self.new += new
        self.known += rows - new


class _Text(NamedTuple):
    """Rows as COPY reads them into these columns, and what stands in the others."""

    columns: Sequence[str]
    cells: str
    constants: Mapping[str, Any]

    @classmethod
    def of(cls, rows: Rows, target: Target) -> _Text:
        columns = {name: cells for name, cells in rows.columns.items() if name not in target.omitted}
        if target.zone and "created_at" in columns:
            columns["created_at"] = [stored_value("created_at", moment, target.zone) for moment in rows.created_at]
        given = target.columns(rows.constants)
        constants = {name: stored_value(name, rows.constants[name], target.zone) for name in given}
        return cls(list(columns), "\n".join(map("\t".join, zip(*columns.values(), strict=True))) + "\n", constants)
