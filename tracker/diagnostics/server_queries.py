"""Queries the server, the table, and its recent use, each with its own statement timeout."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

from tracker.database.connect import Connection, elapsed_ms, execute
from tracker.database.migrations import VERSIONS
from tracker.database.publications import missing_replica_identities
from tracker.database.schema import DEFAULT_SCHEMA, Table, quote, read_table
from tracker.database.sql_file import load
from tracker.database.statement_pooling import refuses_transactions
from tracker.errors import DatabaseError, RecordError, SetupError, TransientError
from tracker.messages import Message
from tracker.platforms import Runtime
from tracker.recording.insert import Target, insert
from tracker.recording.instance import Instance
from tracker.usage import TokenUsage

STATEMENT_TIMEOUT_MS = 1500
LOCK_TIMEOUT_MS = 1000
_MIN_REMAINING_S = 0.2
SELECT_POLICY = Message("diagnostics.right.select_policy")
INSERT_POLICY = Message("diagnostics.right.insert_policy")
# Columns that an owner's constraints may restrict: the app's values satisfy them, the test row's may not.
_APP_COLUMNS = ("user_id", "session_id", "provider", "model", "operation", "environment")
_ROLLBACK_SQLSTATE = "TT000"
_RAISE_TO_ROLL_BACK = (
    "; DO $$ BEGIN RAISE EXCEPTION 'token-tracker doctor takes its test insert back'"
    f" USING ERRCODE = '{_ROLLBACK_SQLSTATE}'; END $$"
)


class ServerQueries:
    """Runs queries on one connection until `deadline` (`time.monotonic`). Every method raises `DatabaseError`."""

    def __init__(
        self, connection: Connection, schema: str | None, deadline: float, reconnect: Callable[[], Connection]
    ) -> None:
        self._connection = connection
        self._reconnect = reconnect
        self._requested_schema = schema
        self._schema = DEFAULT_SCHEMA
        self._deadline = deadline
        self.unanswered: dict[str, str] = {}
        """The queries that failed, with the error message of each."""
        self.default_row_error: DatabaseError | None = None
        """Why the table refuses a row without the app's values."""
        self.statement_mode = False
        """Whether the pooler refuses transactions."""

    def _limits(self) -> str:
        """SET LOCAL statements to put before a query. Raises `TransientError` when no time is left."""
        remaining_s = self._deadline - time.monotonic()
        if remaining_s < _MIN_REMAINING_S:
            raise TransientError(
                "out_of_time", Message("diagnostics.out_of_time"), Message("diagnostics.out_of_time.remedy")
            )
        timeout_ms = min(STATEMENT_TIMEOUT_MS, int(remaining_s * 1000))
        # One simple query under AUTOCOMMIT: the settings end with it, also behind a transaction pooler.
        return (
            f"SET LOCAL statement_timeout = {timeout_ms}; SET LOCAL lock_timeout = {min(LOCK_TIMEOUT_MS, timeout_ms)};"
            f" SET LOCAL search_path = {quote(self._schema)}, pg_catalog; "
        )

    def fetch(self, name: str) -> list[dict[str, Any]]:
        """The rows of `sql/<name>.sql` as dicts."""
        query = load("tracker.diagnostics.sql", name)
        statement = f"SELECT to_json(answer)::text FROM ({query.text}\n) AS answer"  # noqa: S608
        _, rows = execute(self._connection, self._limits() + statement)
        return [json.loads(row[0]) for row in rows]

    def try_fetch(self, name: str) -> list[dict[str, Any]] | None:
        """The rows of `sql/<name>.sql`, or None after an error, which is added to `unanswered`.

        Raises only when the connection is lost.
        """
        try:
            return self.fetch(name)
        except DatabaseError as error:
            self.unanswered[name] = error.sentence
            if self._connection.closed:
                raise
            return None

    def try_execute(self, query: str, parameters: Mapping[str, Any] | None = None) -> list[tuple[Any, ...]] | None:
        """The rows of a query, or None after an error. Raises only when the connection is lost."""
        try:
            return execute(self._connection, self._limits() + query, parameters)[1]
        except DatabaseError:
            if self._connection.closed:
                raise
            return None

    def replica_identity_statements(self) -> list[str]:
        """ALTER statements for published tables without a replica identity; empty when none is needed or known."""
        try:
            return list(missing_replica_identities(self._connection, self._schema, self._limits()).values())
        except DatabaseError:
            if self._connection.closed:
                raise
            return []

    def measure_latency_ms(self) -> float:
        """The duration of the shortest of three round trips, so that one delay by a busy machine does not count."""
        return min(self._round_trip_ms() for _ in range(3))

    def _round_trip_ms(self) -> float:
        started = time.perf_counter()
        execute(self._connection, "SELECT 1")
        return elapsed_ms(started)

    def read_table(self) -> Table:
        """The table as the catalog describes it; needs no right on it. Later queries use its schema."""
        table = read_table(self._connection, self._requested_schema, self._limits())
        self._schema = table.schema
        return table

    def pending_migrations(self) -> list[int] | None:
        """The migrations that this database lacks; None when the role may not read the applied ones."""
        try:
            query = self._limits() + "SELECT version FROM token_tracker_migrations"  # noqa: S608  no outside text
            _, rows = execute(self._connection, query)
        except SetupError as error:
            return list(VERSIONS) if error.code == "table_missing" else None
        return sorted(set(VERSIONS) - {version for (version,) in rows})

    def try_insert(self, table: Table, runtime: Runtime) -> DatabaseError | None:
        """Insert a test row as the recorder does and roll it back. Returns the error, or None on success.

        Only an insert detects triggers, constraints, policies, and locks; the catalog doesn't. The row is never
        committed.
        """
        error = self._insert_and_roll_back(table, _test_row(table, runtime))
        if isinstance(error, RecordError):
            self.default_row_error = error
            return self._try_insert_with_app_values(table, runtime, error)
        if error is None or error.code != "connection_lost":
            return error
        if refuses_transactions(self._reconnect):
            self.statement_mode = True
            self._connection = self._reconnect()
            error = self._insert_without_transaction(table, _test_row(table, runtime))
        return error

    def _try_insert_with_app_values(
        self, table: Table, runtime: Runtime, default_error: DatabaseError
    ) -> DatabaseError | None:
        """`try_insert` with the app's values of the newest row, which satisfy the owner's constraints."""
        names = [name for name in _APP_COLUMNS if name in table.columns]
        query = f"SELECT {', '.join(map(quote, names))} FROM token_usage ORDER BY created_at DESC NULLS LAST LIMIT 1"  # noqa: S608
        rows = self.try_execute(query)
        if not rows:
            return default_error
        app_values = {name: value for name, value in zip(names, rows[0], strict=True) if value is not None}
        return self._insert_and_roll_back(table, {**_test_row(table, runtime), **app_values})

    def _insert_and_roll_back(self, table: Table, row: Mapping[str, Any]) -> DatabaseError | None:
        try:
            prefix = "BEGIN; " + self._limits() + "SET TRANSACTION READ WRITE; "
            insert(self._connection, Target.of(table), row, prefix)
        except DatabaseError as error:
            return error
        finally:
            with suppress(DatabaseError):
                execute(self._connection, "ROLLBACK")
        return None

    def _insert_without_transaction(self, table: Table, row: Mapping[str, Any]) -> DatabaseError | None:
        """For poolers that refuse BEGIN: an exception in the same query message rolls the insert back."""
        try:
            prefix = self._limits() + "SET TRANSACTION READ WRITE; "
            insert(self._connection, Target.of(table), row, prefix, _RAISE_TO_ROLL_BACK)
        except DatabaseError as error:
            return None if error.sqlstate == _ROLLBACK_SQLSTATE else error
        return None


def _test_row(table: Table, runtime: Runtime) -> dict[str, Any]:
    usage = TokenUsage(model="token-tracker-probe", operation="diagnosis", is_test=True)
    row = {**Instance(runtime).row(usage, "direct"), "sequence": None}
    return {name: value for name, value in row.items() if name in table.columns}


def to_utc(text: str | None, zone: str | None = None) -> str | None:
    """A timestamp of the database as ISO 8601 in UTC; `zone` applies to a timestamp without an offset.

    Python can't represent some PostgreSQL timestamps (infinity, BC, years after 9999). They stay unchanged.
    """
    if text is None:
        return None
    try:
        timestamp = datetime.fromisoformat(text)
        if timestamp.tzinfo is None:
            timestamp = timestamp.replace(tzinfo=ZoneInfo(zone or "UTC"))
        return timestamp.astimezone(UTC).isoformat(timespec="seconds")
    except (ValueError, OverflowError, KeyError):  # KeyError: the time zone isn't installed
        return text


def missing_rights(row: Mapping[str, Any] | None, schema: str) -> list[str]:
    """The rights that recording needs and the role lacks, from a row of `sql/rights.sql`; named as GRANT names them."""
    if not row:
        return []
    rights = []
    if not row["usage_on_schema"]:
        rights.append(f"USAGE ON SCHEMA {schema}")
    if not row["may_select"]:
        rights.append("SELECT")
    if not row["may_insert"]:
        rights.append("INSERT")
    if row["row_security_active"] and not row["policy_selects"]:
        rights.append(SELECT_POLICY)
    if row["row_security_active"] and not row["policy_inserts"]:
        rights.append(INSERT_POLICY)
    return rights


def is_read_only_role(missing: list[str]) -> bool:
    """Whether the role lacks only the right to insert."""
    return bool(missing) and {*missing} <= {"INSERT", INSERT_POLICY}
