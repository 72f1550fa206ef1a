"""Rows in bulk by COPY: a chunk a transaction, stored while the next is read; a refused row stops nobody else's."""

from __future__ import annotations

import io
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Any

from tracker.database.driver import Connection, copy, execute
from tracker.errors import DatabaseError, RecordError
from tracker.recording.batch import BatchWriter, Refused
from tracker.recording.statement import Copied, Row, Target, absent, copied, swallowed

CHUNK_ROWS = 10_000


class CopyWriter:
    """Stores rows as they come; counts what was new, what was there already, and hands back what was refused.

    A chunk is copied beside the table and inserted from there by id, so that what an earlier run stored is passed over:
    whatever ends a run, the same rows again add the rest. At most two chunks are in memory. A context manager: what
    waits is dropped when its block raises.
    """

    def __init__(self, connection: Connection, schema: str | None) -> None:
        """The connection is this writer's until it is closed. Raises `DatabaseError`, as do the other methods."""
        self._connection = connection
        self._schema = schema
        self._target = Target.read(connection, schema)
        self._waiting: list[tuple[Row, Any]] = []
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="tracker-copy")
        self._storing: Future[Refused] | None = None
        self.count = 0
        self.new = 0
        self.known = 0

    def __enter__(self) -> CopyWriter:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._thread.shutdown()

    def add(self, row: Row, source: Any) -> Refused:
        """Take a row, all of the same columns, and what it came from; the refused rows of a chunk that is stored."""
        self._waiting.append((row, source))
        return self._pass_on() if len(self._waiting) >= CHUNK_ROWS else []

    def flush(self) -> Refused:
        """Store what waits; each refused row's source and the reason."""
        refused = self._pass_on()
        return refused + self._stored()

    def _pass_on(self) -> Refused:
        refused = self._stored()
        if self._waiting:
            chunk, self._waiting = self._waiting, []
            # Made here: the thread then only waits for the server, and takes no turns from the reading.
            rows = copied([row for row, _ in chunk], self._target)
            self._storing = self._thread.submit(self._store, chunk, rows)
        return refused

    def _stored(self) -> Refused:
        storing, self._storing = self._storing, None
        return storing.result() if storing else []

    def _store(self, chunk: list[tuple[Row, Any]], rows: Copied) -> Refused:
        try:
            new = self._copy(rows)
        except DatabaseError as error:
            # One row that is refused refuses its whole chunk; and not every role may make a temporary table.
            if not isinstance(error, RecordError) and error.code != "right_missing":
                raise
            return self._insert(chunk)
        refused = self._swallowed(chunk) if new < len(chunk) else []
        self._counted(len(chunk) - len(refused), new)
        return refused

    def _swallowed(self, chunk: list[tuple[Row, Any]]) -> Refused:
        """The rows that were taken and yet aren't there; asked only where fewer were new than were given."""
        gone = absent(self._connection, self._target, [str(row["id"]) for row, _ in chunk])
        return [(source, swallowed().sentence) for row, source in chunk if str(row["id"]) in gone]

    def _copy(self, rows: Copied) -> int:
        names = ", ".join(rows.columns)
        everywhere = "".join(f", {name}" for name in rows.constants)
        places = ", %s" * len(rows.constants)
        try:
            execute(
                self._connection,
                "BEGIN; CREATE TEMPORARY TABLE token_tracker_import ON COMMIT DROP AS"  # noqa: S608  our own names
                f" SELECT {names} FROM {self._target.name} WITH NO DATA",
            )
            copy(self._connection, f"COPY pg_temp.token_tracker_import ({names}) FROM STDIN", io.StringIO(rows.text))
            new, _ = execute(
                self._connection,
                f"INSERT INTO {self._target.name} ({names}{everywhere}) SELECT {names}{places}"  # noqa: S608
                " FROM pg_temp.token_tracker_import ON CONFLICT (id) DO NOTHING",
                list(rows.constants.values()),
            )
            execute(self._connection, "COMMIT")
        except BaseException:
            if not self._connection.closed:
                execute(self._connection, "ROLLBACK")
            raise
        return new

    def _insert(self, chunk: list[tuple[Row, Any]]) -> Refused:
        writer = BatchWriter(self._connection, self._schema)
        refused = [refusal for row, source in chunk for refusal in writer.add(row, source)] + writer.flush()
        self._counted(writer.new + writer.known, writer.new)
        return refused

    def _counted(self, rows: int, new: int) -> None:
        self.count += rows
        self.new += new
        self.known += rows - new
