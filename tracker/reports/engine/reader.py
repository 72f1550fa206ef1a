"""The database access of the reports: a small connection pool, one round trip per query, and a time limit."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar, cast

import sqlalchemy
from sqlalchemy import exc
from sqlalchemy.pool import QueuePool

from tracker.database import sql_file
from tracker.database.connect import Connection, DriverError, connect, translate
from tracker.database.locate import Database
from tracker.database.schema import Table, read_table, require_columns
from tracker.database.sql_file import Query
from tracker.database.watchdog import Deadline, timer
from tracker.errors import DatabaseError, TransientError
from tracker.messages import Message
from tracker.platforms import application_name
from tracker.reports.engine.freshness import ACCESS_CACHE_S, Freshness, PinnedRollupState, Refresher, freshness
from tracker.reports.sql import load
from tracker.rollups.rollup_state import QUERIES, RollupAccess, RollupState, access_from_rows, access_parameters

T = TypeVar("T")

POOL_SIZE = 3
IDLE_S = 10.0
CONNECT_TIMEOUT_S = 5.0
STATEMENT_TIMEOUT_MS = 15_000
HANG_S = 20.0

# Under AUTOCOMMIT these statements and the query are one simple query in one implicit transaction. SET LOCAL ends with
# it, also behind a transaction pooler. JIT compilation takes longer than these queries.
_LIMIT = "SET LOCAL statement_timeout = :statement_timeout_ms;\nSET LOCAL jit = off;\nSET LOCAL work_mem = '32MB';\n"


@dataclass(frozen=True, slots=True)
class PoolUse:
    """The connections of the reports' pool, in OpenTelemetry's terms."""

    used: int
    idle: int
    max: int


class Reader:
    """Runs the queries of `sql/` on at most three connections, which are closed when they are idle.

    Each method raises `DatabaseError`. A query whose pooled connection is broken runs again on a new connection.
    """

    def __init__(self, database: Database) -> None:
        self.database = database
        self.name = application_name(database.settings.runtime, "token-tracker dashboard")
        self._lock = threading.Lock()
        self._active_queries = 0
        self._last_use = time.monotonic()
        self._close_scheduled = False
        self._table: Table | None = None
        self._access: tuple[float, RollupAccess] | None = None
        self._pinned_state = PinnedRollupState()
        self._refresher = Refresher(self.borrow)
        self._engine = sqlalchemy.create_engine(
            "postgresql+psycopg2://",
            creator=self._connect,
            poolclass=QueuePool,
            pool_size=POOL_SIZE,
            max_overflow=0,
            pool_timeout=CONNECT_TIMEOUT_S,
            pool_use_lifo=True,
            pool_reset_on_return=None,
            isolation_level="AUTOCOMMIT",
            use_native_hstore=False,
            hide_parameters=True,
        )

    def _connect(self) -> Connection:
        return connect(self.database.url, timeout_s=CONNECT_TIMEOUT_S, application_name=self.name, reset_session=True)

    @contextmanager
    def borrow(self) -> Iterator[Connection]:
        """A connection of the pool, for work other than a query."""
        with self._open() as connection:
            yield cast("Connection", connection.connection.driver_connection)

    @contextmanager
    def reserve_connection(self) -> Iterator[None]:
        """Close a pooled connection and reserve its place, so that the caller can open one outside of the pool."""
        with self._open() as connection:
            cast("Connection", connection.connection.driver_connection).close()
            try:
                yield
            finally:
                connection.invalidate()

    @contextmanager
    def _open(self) -> Iterator[sqlalchemy.Connection]:
        with self._count_active():
            try:
                connection = self._engine.connect()
            except exc.TimeoutError:
                raise TransientError(
                    "readers_busy",
                    Message("reports.readers_busy"),
                    Message("reports.readers_busy.remedy"),
                ) from None
            except (exc.DBAPIError, DriverError) as error:
                # SQLAlchemy's own first statements on a new connection can fail, too.
                raise translate(getattr(error, "orig", None) or error) from None
            with connection:
                yield connection

    def table(self) -> Table:
        """The cached properties of token_usage; raises `SetupError` if the table or a required column is missing."""
        if self._table is None:
            self._table = require_columns(self._with_retry(self._read_table))
        return self._table

    def check(self) -> None:
        """Read the table's properties now; raises unless the server responds and all required columns exist."""
        self._table = require_columns(self._with_retry(self._read_table))

    def ping(self) -> None:
        """Raises unless the server responds. It reads no table, so that no lock delays it."""
        self._with_retry(lambda connection: connection.exec_driver_sql("SELECT 1"))

    def rows(
        self, query: str, parameters: Mapping[str, object] | None = None, *, timeout_ms: int = STATEMENT_TIMEOUT_MS
    ) -> list[dict[str, Any]]:
        """The result of `sql/<query>.sql`, one dict per row."""
        columns, values = self.execute(query, parameters, timeout_ms=timeout_ms)
        return [dict(zip(columns, row, strict=True)) for row in values]

    def execute(
        self, query: str, parameters: Mapping[str, object] | None = None, *, timeout_ms: int = STATEMENT_TIMEOUT_MS
    ) -> tuple[Sequence[str], list[tuple[Any, ...]]]:
        """The column names and the rows of the result of `sql/<query>.sql`."""
        sql = load(query)
        if sql.rows_only != sql and not self.access().reads:
            sql = sql.rows_only
        return self._execute(sql, parameters, timeout_ms)

    def _execute(
        self, sql: Query, parameters: Mapping[str, object] | None = None, timeout_ms: int = STATEMENT_TIMEOUT_MS
    ) -> tuple[Sequence[str], list[tuple[Any, ...]]]:
        bound = dict(parameters or {})
        if sql.reads_table:
            table = self.table()
            bound["created_at_zone"] = table.created_at_zone
            text = sql.text_for(table)
        else:
            text = sql.text
        statement = sqlalchemy.text(_LIMIT + text)
        bound["statement_timeout_ms"] = timeout_ms

        def run(connection: sqlalchemy.Connection) -> tuple[Sequence[str], list[tuple[Any, ...]]]:
            result = connection.execute(statement, bound)
            return list(result.keys()), [tuple(row) for row in result]

        return self._with_retry(run)

    def rollup_state(self) -> RollupState | None:
        """The state of the rollups, for `plan_range`; None if the current role can't read them.

        Starts a refresh in the background if there is something to refresh and the role has the permission.
        """
        return self._pinned_state.get(self._read_rollup_state)

    def _read_rollup_state(self) -> RollupState | None:
        access = self.access()
        if not access.reads:
            return None
        _, rows = self._execute(sql_file.load(QUERIES, "state"))
        state = RollupState(*rows[0]) if rows else None
        if state and access.writes:
            self._refresher.start(self.table(), state)
        return state

    def access(self) -> RollupAccess:
        """What the current role can do with the rollups; cached for a minute."""
        if self._access is None or time.monotonic() - self._access[0] > ACCESS_CACHE_S:
            if self._table is not None and self._table.missing_optional_columns:
                self._table = None  # a migration may have added them
            table = self.table()
            _, rows = self._execute(sql_file.load(QUERIES, "access"), access_parameters(table))
            self._access = time.monotonic(), access_from_rows(rows, table)
        return self._access[1]

    def pin_rollup_state(self) -> AbstractContextManager[None]:
        """Within it, all queries of a thread use the same rollup state, so that the totals of a page agree."""
        return self._pinned_state.pin()

    def freshness(self) -> Freshness:
        """The time of the last refresh, and the time from which on there are rows."""
        return freshness(self.access(), self.rollup_state())

    def _read_table(self, connection: sqlalchemy.Connection) -> Table:
        driver_connection = cast("Connection", connection.connection.driver_connection)
        try:
            return read_table(driver_connection, self.database.url.schema)
        except DatabaseError:
            if driver_connection.closed:
                connection.invalidate()
            raise

    def _with_retry(self, run: Callable[[sqlalchemy.Connection], T]) -> T:
        """The result of `run`, repeated if the pooled connection is broken, at most once per pooled connection."""
        for _ in range(POOL_SIZE):
            try:
                return self._once(run)
            except exc.DBAPIError as error:
                if not error.connection_invalidated:
                    raise self._translated(error) from None
            except TransientError as error:
                if error.code != "connection_lost":
                    raise
        try:
            return self._once(run)
        except exc.DBAPIError as error:
            raise self._translated(error) from None

    def _once(self, run: Callable[[sqlalchemy.Connection], T]) -> T:
        with self._open() as connection, _deadline(connection):
            return run(connection)

    def _translated(self, error: exc.DBAPIError) -> DatabaseError:
        self._table = self._access = None  # a migration or DROP TABLE can be the cause
        return translate(error.orig or error)

    @contextmanager
    def _count_active(self) -> Iterator[None]:
        """Count the active queries, so that idle connections are closed only while there are none."""
        with self._lock:
            self._active_queries += 1
        try:
            yield
        finally:
            with self._lock:
                self._active_queries -= 1
                self._last_use = time.monotonic()
                schedule, self._close_scheduled = not self._close_scheduled, True
            if schedule:
                timer.schedule(self._last_use + IDLE_S, self._close_idle)

    def _close_idle(self) -> None:
        """Close all connections if there was no query for `IDLE_S`; else schedule the next attempt."""
        with self._lock:
            idle_at = self._last_use + IDLE_S
            self._close_scheduled = self._active_queries > 0 or time.monotonic() < idle_at
            if not self._close_scheduled:
                self._engine.dispose()
        if self._close_scheduled:
            timer.schedule(max(idle_at, time.monotonic() + 1.0), self._close_idle)

    def pool_use(self) -> PoolUse:
        """The number of used and idle connections now."""
        pool = cast("QueuePool", self._engine.pool)
        return PoolUse(used=pool.checkedout(), idle=pool.checkedin(), max=POOL_SIZE)

    def close(self) -> None:
        """Stop the refresh and close the connections; an active query ends first."""
        self._refresher.stop()
        self._engine.dispose()


def _deadline(connection: sqlalchemy.Connection) -> Deadline:
    """Ends a query on a server that doesn't respond, for which statement_timeout has no effect."""
    driver_connection = cast("Connection", connection.connection.driver_connection)
    deadline: Deadline = connection.info.setdefault("deadline", Deadline(driver_connection))
    return deadline(time.monotonic() + HANG_S)
