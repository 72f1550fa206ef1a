"""The read side's way to the database: few connections, each question in one round trip and under a time limit."""

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

from tracker.database import sql_file as questions
from tracker.database.connect import Connection, DriverError, connect, translate
from tracker.database.locate import Database
from tracker.database.schema import Table, read_table
from tracker.database.sql_file import Query
from tracker.database.watchdog import Deadline, timer
from tracker.errors import DatabaseError, SetupError, TransientError
from tracker.platforms import application_name
from tracker.reports.engine.freshness import ACCESS_S, Moment, Refresher, Standing, standing
from tracker.reports.sql import load
from tracker.rollups.rollup_state import ACCESS, QUERIES, Access, State, access, names

T = TypeVar("T")

POOL_SIZE = 3
IDLE_S = 10.0
CONNECT_TIMEOUT_S = 5.0
STATEMENT_TIMEOUT_MS = 15_000
HANG_S = 20.0

# Under AUTOCOMMIT both statements travel as one simple query and share one implicit transaction, so the limit ends
# with it and leaks to nobody, behind a transaction pooler too. Compiling takes longer than these questions do.
_LIMIT = "SET LOCAL statement_timeout = :statement_timeout_ms;\nSET LOCAL jit = off;\nSET LOCAL work_mem = '32MB';\n"


@dataclass(frozen=True, slots=True)
class PoolUse:
    """How many of the read side's connections are open, by OpenTelemetry's names."""

    used: int
    idle: int
    max: int


class Reader:
    """Asks the questions of `queries/`; at most three connections, none of them kept when nobody asks.

    Every method raises `DatabaseError`. A connection that died in the pool is replaced and the question asked again.
    """

    def __init__(self, database: Database) -> None:
        self.database = database
        self.name = application_name(database.settings.runtime, "token-tracker dashboard")
        self._lock = threading.Lock()
        self._active = 0
        self._last_use = time.monotonic()
        self._reaping = False
        self._table: Table | None = None
        self._access: tuple[float, Access] | None = None
        self._moment = Moment()
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
        """One of the pool's connections, for work that isn't a question."""
        with self._open() as connection:
            yield cast("Connection", connection.connection.driver_connection)

    @contextmanager
    def vacate(self) -> Iterator[None]:
        """Leave one of the pool's places to a connection that isn't the pool's, so that together they stay as few."""
        with self._open() as connection:
            cast("Connection", connection.connection.driver_connection).close()
            try:
                yield
            finally:
                connection.invalidate()

    @contextmanager
    def _open(self) -> Iterator[sqlalchemy.Connection]:
        with self._counted():
            try:
                connection = self._engine.connect()
            except exc.TimeoutError:
                raise TransientError(
                    "readers_busy", "All connections of the dashboard are busy.", "It passes by itself."
                ) from None
            except (exc.DBAPIError, DriverError) as error:
                # A new connection's first statements are SQLAlchemy's own, and they can fail like any other.
                raise translate(getattr(error, "orig", None) or error) from None
            with connection:
                yield connection

    def table(self) -> Table:
        """The table as it is; raises `SetupError` when it is missing or lacks columns."""
        if self._table is None:
            self._table = _usable(self._with_retry(self._read_table))
        return self._table

    def check(self) -> None:
        """Ask the server for the table now; raises unless it answers and all columns are there."""
        self._table = _usable(self._with_retry(self._read_table))

    def rows(self, question: str, parameters: Mapping[str, object] | None = None) -> list[dict[str, Any]]:
        """The answer to `queries/<question>.sql`, a dict a row."""
        columns, values = self.answer(question, parameters)
        return [dict(zip(columns, row, strict=True)) for row in values]

    def answer(
        self, question: str, parameters: Mapping[str, object] | None = None
    ) -> tuple[Sequence[str], list[tuple[Any, ...]]]:
        """The answer's column names and rows."""
        query = load(question)
        if query.rows_only != query and not self.access().reads:
            query = query.rows_only
        return self._ask(query, parameters)

    def _ask(
        self, query: Query, parameters: Mapping[str, object] | None = None
    ) -> tuple[Sequence[str], list[tuple[Any, ...]]]:
        given = dict(parameters or {})
        if query.reads_table:
            table = self.table()
            given["created_at_zone"] = table.created_at_zone
            text = query.text_for(table.schema, table.created_at_zone)
        else:
            text = query.text
        statement = sqlalchemy.text(_LIMIT + text)
        given["statement_timeout_ms"] = STATEMENT_TIMEOUT_MS

        def ask(connection: sqlalchemy.Connection) -> tuple[Sequence[str], list[tuple[Any, ...]]]:
            result = connection.execute(statement, given)
            return list(result.keys()), [tuple(row) for row in result]

        return self._with_retry(ask)

    def rollups(self) -> State | None:
        """How far the rollups reach now, for `pieces.cut`; None where this role can't read them.

        Starts a refresh beside the reading when there is something to do and this role may.
        """
        return self._moment.state(self._read_rollups)

    def _read_rollups(self) -> State | None:
        access = self.access()
        if not access.reads:
            return None
        _, found = self._ask(questions.load(QUERIES, "state"))
        state = State(*found[0]) if found else None
        if state and access.writes:
            self._refresher.start(self.table(), state)
        return state

    def access(self) -> Access:
        """What this role may do with the rollups; asked again once a minute."""
        if self._access is None or time.monotonic() - self._access[0] > ACCESS_S:
            table = self.table()
            _, found = self._ask(Query(ACCESS), names(table))
            self._access = time.monotonic(), access(found, table)
        return self._access[1]

    def one_moment(self) -> AbstractContextManager[None]:
        """Within it, all questions of a thread see the rollups as the first one found them: a page's figures agree."""
        return self._moment.kept()

    def standing(self) -> Standing:
        """What a page may say about its figures: as of when, and from when on there are single records."""
        return standing(self.access(), self.rollups())

    def _read_table(self, connection: sqlalchemy.Connection) -> Table:
        driver_connection = cast("Connection", connection.connection.driver_connection)
        try:
            return read_table(driver_connection, self.database.url.schema)
        except DatabaseError:
            if driver_connection.closed:
                connection.invalidate()
            raise

    def _with_retry(self, ask: Callable[[sqlalchemy.Connection], T]) -> T:
        """Ask again when a connection died in the pool, once for each that may have died with it."""
        for _ in range(POOL_SIZE):
            try:
                return self._once(ask)
            except exc.DBAPIError as error:
                if not error.connection_invalidated:
                    raise self._translated(error) from None
            except TransientError as error:
                if error.code != "connection_lost":
                    raise
        try:
            return self._once(ask)
        except exc.DBAPIError as error:
            raise self._translated(error) from None

    def _once(self, ask: Callable[[sqlalchemy.Connection], T]) -> T:
        with self._open() as connection, _deadline(connection):
            return ask(connection)

    def _translated(self, error: exc.DBAPIError) -> DatabaseError:
        self._table = self._access = None  # it may have been dropped or migrated
        return translate(error.orig or error)

    @contextmanager
    def _counted(self) -> Iterator[None]:
        """Count who is asking, so that idle connections are closed only while nobody is."""
        with self._lock:
            self._active += 1
        try:
            yield
        finally:
            with self._lock:
                self._active -= 1
                self._last_use = time.monotonic()
                reap, self._reaping = not self._reaping, True
            if reap:
                timer.schedule(self._last_use + IDLE_S, self._reap)

    def _reap(self) -> None:
        """Close everything once nobody has asked for a while; look again later if somebody has."""
        with self._lock:
            idle_at = self._last_use + IDLE_S
            self._reaping = self._active > 0 or time.monotonic() < idle_at
            if not self._reaping:
                self._engine.dispose()
        if self._reaping:
            timer.schedule(max(idle_at, time.monotonic() + 1.0), self._reap)

    def pool_use(self) -> PoolUse:
        """What the pool holds now."""
        pool = cast("QueuePool", self._engine.pool)
        return PoolUse(used=pool.checkedout(), idle=pool.checkedin(), max=POOL_SIZE)

    def close(self) -> None:
        """End the refresh and close the idle connections; a question that is being asked ends first."""
        self._refresher.stop()
        self._engine.dispose()


def _deadline(connection: sqlalchemy.Connection) -> Deadline:
    """Ends the wait for a server that hangs, which its own statement_timeout can't."""
    driver_connection = cast("Connection", connection.connection.driver_connection)
    deadline: Deadline = connection.info.setdefault("deadline", Deadline(driver_connection))
    return deadline(time.monotonic() + HANG_S)


def _usable(table: Table) -> Table:
    if not table.exists:
        raise SetupError("table_missing", "The table token_usage isn't there.", "Create it: token-tracker migrate.")
    if table.missing_columns:
        names = ", ".join(table.missing_columns)
        raise SetupError(
            "column_missing",
            f"The table token_usage lacks: {names}.",
            "Add what is missing: token-tracker migrate.",
        )
    return table
