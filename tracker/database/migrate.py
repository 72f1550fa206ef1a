"""Migrates a database to the current schema: additive, one transaction per step, safe to repeat, safe in parallel."""

from __future__ import annotations

import time
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote as quote_url

from tracker.database import adoption, constraint_check, indexes, publications, statement_pooling
from tracker.database.connect import Connection, execute
from tracker.database.migrations import FILES, migration_fills, step_text, tables_created_by
from tracker.database.schema import DEFAULT_SCHEMA, TABLE, ZONE_COMMENT, Table, literal, quote, read_table
from tracker.database.statement_pooling import refuses_transactions
from tracker.database.transactions import transaction
from tracker.database.watchdog import Deadline
from tracker.errors import DatabaseError, SettingError, SetupError, TransientError
from tracker.messages import Message, join_messages

Connect = Callable[[], Connection]

_MIGRATIONS_TABLE = """\
CREATE TABLE IF NOT EXISTS token_tracker_migrations (
    version integer PRIMARY KEY,
    name text NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT now()
)"""
_LOCK_TIMEOUT = "3s"
_RETRY_FOR_S = 60
_SECOND_CONNECTION_S = 10
_SMALL_TABLE_ROWS = 10_000


@dataclass(slots=True)
class Migration:
    """The changes of a run, or with `dry_run` the planned changes."""

    applied: list[str] = field(default_factory=list)
    statements: list[str] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)


def migrate(
    connect: Connect, schema: str | None = None, *, dry_run: bool = False, timezone: str | None = None
) -> Migration:
    """Create `token_usage`, or adopt an existing one without renaming, rewriting or removing anything in it.

    A table, column or index of Token Tracker that is missing since an earlier run is created again.
    `timezone` is the IANA zone of an adopted table's naive `created_at` (default UTC).
    `schema` is the table's schema; without one, or with a `SearchPath`, the schema that has a `token_usage`.
    Raises `AmbiguousTableError` if two schemas have the table and neither has been migrated, `SetupError` if a table
    can't be adopted (nothing is changed then), and other `DatabaseError`s.
    """
    run = _MigrationRun(connect, schema, dry_run, timezone)
    from tenacity import Retrying, retry_if_exception, stop_after_delay, wait_random_exponential

    # A lock of another transaction ends an attempt after _LOCK_TIMEOUT, so that other statements don't queue longer.
    for attempt in Retrying(
        retry=retry_if_exception(_is_retryable),
        stop=stop_after_delay(_RETRY_FOR_S),
        wait=wait_random_exponential(multiplier=0.2, max=5),
        reraise=True,
    ):
        with attempt:
            try:
                run.migrate()
            except TransientError as error:
                if error.code == "connection_lost" and refuses_transactions(connect):
                    raise statement_pooling.explain() from None
                raise
    if dry_run and run.schema != DEFAULT_SCHEMA and run.result.statements:
        # The statements contain no schema name.
        run.result.statements.insert(0, f"SET search_path = {quote(run.schema)};")
    return run.result


def _is_retryable(error: BaseException) -> bool:
    """Whether a retry may help; not if the server can't be reached, so that a wrong URL fails at once."""
    was_reached = isinstance(error, TransientError) and (
        error.sqlstate or error.code in {"connection_lost", "starting"}
    )
    return bool(was_reached)


class AmbiguousTableError(SettingError):
    """Two schemas have a token_usage, and DATABASE_URL doesn't name one. `schemas` are their names."""

    def __init__(self, schemas: Sequence[str]) -> None:
        tables = join_messages((f"{quote(name)}.token_usage" for name in schemas), "general.both")
        choices = join_messages((f"schema={quote_url(name, safe='')}" for name in schemas), "general.either")
        super().__init__(Message("database.table_ambiguous", tables=tables, choices=choices))
        self.schemas = tuple(schemas)


class _MigrationRun:
    def __init__(self, connect: Connect, schema: str | None, dry_run: bool, timezone: str | None) -> None:
        self._connect = connect
        self._requested_schema = schema
        self._schema = DEFAULT_SCHEMA
        self._dry_run = dry_run
        self._timezone = timezone
        self._lift_limits = False
        self.result = Migration()

    @property
    def schema(self) -> str:
        """The table's schema."""
        return self._schema

    def _choose_schema(self, connection: Connection) -> list[str]:
        """Set the table's schema; returns a remark if another schema also has such a table."""
        table = read_table(connection, self._requested_schema)
        self._schema = table.schema
        if not table.other_schemas:
            return []
        if not table.has_tracker_tables:
            raise AmbiguousTableError((table.schema, *table.other_schemas))
        others = ", ".join(table.other_schemas)
        return [Message("database.other_table", schema=table.schema, others=others)]

    def migrate(self) -> None:
        connection = self._connect()
        try:
            schema_remarks = self._choose_schema(connection)
            with self._locked(connection):
                self._check_zone(connection)
                applied = self._applied_versions(connection)
                table = read_table(connection, self._schema)
                # The migrations table lists what ran; only the catalog shows what still exists.
                if 1 not in applied or not table.exists or _lacks_columns(table):
                    self._step_table(connection, table)
                    table = read_table(connection, self._schema)
                self._store_zone(connection, table)
                table = read_table(connection, self._schema)
                self.result.remarks = [
                    *schema_remarks,
                    *adoption.find_objections(table),
                    *adoption.find_remarks(table),
                    *self._zone_remark(table),
                ]
                for version, name in FILES.items():
                    if version not in applied or not tables_created_by(version, name) <= _tables(
                        connection, self._schema
                    ):
                        self._step_file(connection, version, name)
                        if not self._dry_run:
                            migration_fills.fill(connection, table, name, applied)
                self._set_replica_identities(connection)
                has_indexes = 2 in applied and not any(indexes.missing(connection, table))
                if not has_indexes and _is_small_table(connection):
                    self._build_indexes(connection, connection, table, applied)
                    has_indexes = True
            self.result.remarks += self._constraint_remarks(connection, table)
            if not has_indexes:
                self._build_indexes_concurrently(connection, table, applied)
        finally:
            connection.close()

    @contextmanager
    def _locked(self, connection: Connection) -> Iterator[None]:
        """One transaction with the advisory lock of migrations; this also works behind a transaction pooler."""
        applied, statements = len(self.result.applied), len(self.result.statements)
        try:
            with transaction(connection, commits=not self._dry_run):
                execute(connection, f"SET LOCAL search_path = {quote(self._schema)}")
                execute(connection, "SELECT set_config('lock_timeout', %s, true)", (_LOCK_TIMEOUT,))
                execute(connection, "SELECT pg_advisory_xact_lock(%s)", (_lock_key(self._schema),))
                yield
        except BaseException:
            # The next attempt repeats this transaction; earlier transactions stay committed and listed.
            del self.result.applied[applied:], self.result.statements[statements:]
            raise

    def _check_zone(self, connection: Connection) -> None:
        """Raise `SettingError` if the server doesn't know the zone: Python and the server both convert times."""
        if self._timezone is None:
            return
        query = "SELECT EXISTS (SELECT 1 FROM pg_timezone_names WHERE lower(name) = lower(%s))"
        if not execute(connection, query, (self._timezone,))[1][0][0]:
            raise SettingError(Message("database.time_zone_unknown", given=repr(self._timezone[:60])))

    def _zone_remark(self, table: Table) -> list[str]:
        if self._timezone is None or table.naive_created_at:
            return []
        return [Message("database.time_zone_unused", given=self._timezone)]

    def _set_replica_identities(self, connection: Connection) -> None:
        """Set the replica identity of published tables; for token_usage, add a remark for its owner."""
        missing = publications.missing_replica_identities(connection, self._schema)
        if (statement := missing.pop(TABLE, None)) is not None:
            self.result.remarks.append(publications.remark(statement))
        for statement in missing.values():
            self._execute(connection, statement)

    def _constraint_remarks(self, connection: Connection, table: Table) -> list[str]:
        """Remarks about constraints that refuse Token Tracker's values and about rows without a time; needs no lock."""
        limits = f"SET LOCAL search_path = {quote(self._schema)}, pg_catalog; SET LOCAL statement_timeout = '5s'; "

        def query(statement: str, parameters: Mapping[str, Any] | None) -> list[tuple[Any, ...]] | None:
            try:
                return execute(connection, limits + statement, parameters)[1]
            except DatabaseError:
                if connection.closed:
                    raise
                return None

        count = constraint_check.count_undated(query, table)
        return [
            *constraint_check.refused_defaults(query, table),
            *([constraint_check.undated_remark(count)] if count else []),
        ]

    def _applied_versions(self, connection: Connection) -> set[int]:
        before = _tables(connection, self._schema)
        if "token_tracker_migrations" not in before:
            self._execute(connection, _MIGRATIONS_TABLE)
            self._protect(connection, before)
        return _read_versions(connection)

    def _step_table(self, connection: Connection, table: Table) -> None:
        if problems := adoption.find_objections(table) if table.exists else []:
            raise SetupError(
                "not_adoptable",
                Message("database.not_adoptable"),
                join_messages(problems),
            )
        before = _tables(connection, self._schema)
        if table.exists:
            for statement in adoption.column_statements(table):
                self._execute(connection, statement)
        else:
            self._execute(connection, step_text(1, "token_usage"))
        self._protect(connection, before)
        self._mark_applied(connection, 1, "adopt_token_usage" if table.exists else "create_token_usage")

    def _step_file(self, connection: Connection, version: int, name: str) -> None:
        before = _tables(connection, self._schema)
        self._execute(connection, step_text(version, name))
        self._protect(connection, before)
        self._mark_applied(connection, version, name)

    def _store_zone(self, connection: Connection, table: Table) -> None:
        """Store the zone of a naive created_at in the column's comment, which every role can read."""
        if not table.naive_created_at or ZONE_COMMENT in (table.created_at_comment or ""):
            if self._timezone and self._timezone != (table.created_at_zone or self._timezone):
                raise SettingError(
                    Message("database.time_zone_stored", stored=table.created_at_zone, given=self._timezone)
                )
            return
        note = ZONE_COMMENT + (self._timezone or "UTC")
        comment = "\n".join(filter(None, (table.created_at_comment, note)))
        self._execute(connection, "COMMENT ON COLUMN token_usage.created_at IS " + literal(comment))

    def _build_indexes_concurrently(self, connection: Connection, table: Table, applied: set[int]) -> None:
        """Build indexes; if limits of the role or of the pooler's session stop that, again without the limits."""
        try:
            self._try_indexes(connection, table, applied)
        except TransientError as error:
            if self._lift_limits or error.sqlstate not in indexes.SESSION_LIMITS:
                raise
            self._lift_limits = True
            self._try_indexes(connection, table, applied)

    def _try_indexes(self, connection: Connection, table: Table, applied: set[int]) -> None:
        """Build missing indexes without blocking writers, on a second connection; the first one owns the lock."""
        worker = self._connect()
        try:
            with self._locked(connection):
                _require_second_connection(worker)
                if not self._dry_run:
                    # Another run may have built them between the two transactions.
                    table, applied = read_table(connection, self._schema), _read_versions(connection)
                self._build_indexes(connection, worker, table, applied)
        finally:
            worker.close()

    def _build_indexes(self, holder: Connection, worker: Connection, table: Table, applied: set[int]) -> None:
        """Build each missing index; replaces one that an aborted run left invalid."""
        missing = list(indexes.missing(holder, table))
        for index in missing:
            for statement in indexes.statements(table, index, concurrently=worker is not holder):
                self._execute(worker, statement)
        if missing or 2 not in applied:
            self._mark_applied(holder, 2, "index_token_usage")

    def _protect(self, connection: Connection, before: set[str]) -> None:
        """On Supabase, enable row-level security for new tables: without it, a table in an exposed schema is public."""
        if not read_table(connection, self._schema).supabase:
            return
        for name in sorted(_tables(connection, self._schema) - before):
            self._execute(connection, f"ALTER TABLE {name} ENABLE ROW LEVEL SECURITY")
            self._execute(connection, f"REVOKE ALL ON {name} FROM anon, authenticated")

    def _mark_applied(self, connection: Connection, version: int, name: str) -> None:
        self.result.applied.append(f"{version:04} {name}")
        if self._dry_run:
            return  # the table of migrations itself may have been rolled back
        execute(
            connection,
            "INSERT INTO token_tracker_migrations (version, name) VALUES (%s, %s)"
            " ON CONFLICT (version) DO UPDATE SET name = excluded.name, applied_at = now()",
            (version, name),
        )

    def _execute(self, connection: Connection, statement: str) -> None:
        self.result.statements.append(statement.strip().rstrip(";") + ";")
        # A dry run rolls the transaction back; a statement that can't run in a transaction is only listed.
        if self._dry_run and "INDEX" in statement.split("(")[0]:
            return
        if "CONCURRENTLY" in statement:
            indexes.run_without_transaction(connection, statement, lift_limits=self._lift_limits)
        else:
            execute(connection, statement)


def _lacks_columns(table: Table) -> bool:
    return bool(table.missing_columns or table.missing_optional_columns)


def _is_small_table(connection: Connection) -> bool:
    """Whether an index is built quickly, so that it can be built in the migration's own transaction."""
    query = "SELECT count(*) FROM (SELECT FROM token_usage LIMIT %s) AS few"
    return bool(execute(connection, query, (_SMALL_TABLE_ROWS,))[1][0][0] < _SMALL_TABLE_ROWS)


def _require_second_connection(worker: Connection) -> None:
    """Raise `SetupError` if the pooler lends one connection at a time: this process would wait for itself."""
    guard = Deadline(worker)
    try:
        with guard(time.monotonic() + _SECOND_CONNECTION_S):
            execute(worker, "SELECT 1")
    except DatabaseError:
        if not guard.fired:
            raise
        raise SetupError(
            "one_connection",
            Message("database.one_connection"),
            Message("database.one_connection.remedy"),
        ) from None


def _read_versions(connection: Connection) -> set[int]:
    """The versions in the table of migrations."""
    _, rows = execute(connection, "SELECT version FROM token_tracker_migrations")
    return {version for (version,) in rows}


def _tables(connection: Connection, schema: str) -> set[str]:
    """The names of Token Tracker's tables that exist in the schema."""
    _, rows = execute(
        connection,
        "SELECT c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
        " WHERE n.nspname = %s AND c.relkind IN ('r', 'p')"
        " AND (c.relname = 'token_usage' OR c.relname LIKE 'token_tracker_%%')",
        (schema,),
    )
    return {name for (name,) in rows}


def _lock_key(schema: str) -> int:
    return 0x746F6B << 32 | zlib.crc32(schema.encode())
