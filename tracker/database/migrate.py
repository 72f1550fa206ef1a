"""Bring a database to the present schema: additive, one transaction a step, safe to run twice and by two at once."""

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
from tracker.database.migrations import FILES, step_text, tables_created_by
from tracker.database.schema import DEFAULT_SCHEMA, TABLE, ZONE_COMMENT, Table, literal, quote, read_table
from tracker.database.statement_pooling import refuses_transactions
from tracker.database.watchdog import Deadline
from tracker.errors import DatabaseError, SettingError, SetupError, TransientError

Connect = Callable[[], Connection]

_LEDGER = """\
CREATE TABLE IF NOT EXISTS token_tracker_migrations (
    version integer PRIMARY KEY,
    name text NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT now()
)"""
_LOCK_TIMEOUT = "3s"
_PATIENCE_S = 60
_TURN_S = 10
_FEW_ROWS = 10_000


@dataclass(slots=True)
class Migration:
    """What a run did, or with `dry_run` would do."""

    applied: list[str] = field(default_factory=list)
    statements: list[str] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)


def migrate(
    connect: Connect, schema: str | None = None, *, dry_run: bool = False, timezone: str | None = None
) -> Migration:
    """Create `token_usage` or adopt the one that is there; nothing of an old table is renamed, rewritten or removed.

    A table, column or index of ours that went missing since an earlier run is made again.
    `timezone` says what an adopted table's naive `created_at` means (IANA name, UTC unless told).
    `schema` names the table's; without one, or with a `SearchPath`, it is where a `token_usage` is.
    Raises `AmbiguousTableError` if two schemas have the table and neither has been migrated, `SetupError` if a table
    can't be adopted (nothing is changed then), and other `DatabaseError`s.
    """
    run = _Run(connect, schema, dry_run, timezone)
    from tenacity import Retrying, retry_if_exception, stop_after_delay, wait_random_exponential

    # A lock somebody holds ends a try after _LOCK_TIMEOUT, so that nobody queues behind us for longer.
    for attempt in Retrying(
        retry=retry_if_exception(_worth_waiting_for),
        stop=stop_after_delay(_PATIENCE_S),
        wait=wait_random_exponential(multiplier=0.2, max=5),
        reraise=True,
    ):
        with attempt:
            try:
                run.all()
            except TransientError as error:
                if error.code == "connection_lost" and refuses_transactions(connect):
                    raise statement_pooling.explain() from None
                raise
    if dry_run and run.schema != DEFAULT_SCHEMA and run.result.statements:
        # Our statements name no schema.
        run.result.statements.insert(0, f"SET search_path = {quote(run.schema)};")
    return run.result


def _worth_waiting_for(error: BaseException) -> bool:
    """What passes by itself, but for a server that can't be reached: a mistake in the URL must show at once."""
    reached = isinstance(error, TransientError) and (error.sqlstate or error.code in {"connection_lost", "starting"})
    return bool(reached)


class AmbiguousTableError(SettingError):
    """Two schemas have a token_usage, and nothing says which is meant. `schemas` are their names."""

    def __init__(self, schemas: Sequence[str]) -> None:
        names = " and ".join(f"{quote(name)}.token_usage" for name in schemas)
        choices = " or ".join(f"schema={quote_url(name, safe='')}" for name in schemas)
        super().__init__(f"There are {names}, and DATABASE_URL doesn't say which one is meant; add {choices} to it.")
        self.schemas = tuple(schemas)


class _Run:
    def __init__(self, connect: Connect, schema: str | None, dry_run: bool, timezone: str | None) -> None:
        self._connect = connect
        self._asked = schema
        self._schema = DEFAULT_SCHEMA
        self._dry_run = dry_run
        self._timezone = timezone
        self._hindered = False
        self.result = Migration()

    @property
    def schema(self) -> str:
        """Where the table is."""
        return self._schema

    def _choose_schema(self, connection: Connection) -> list[str]:
        """Find the table's schema; a remark where another one has a table of this name too."""
        table = read_table(connection, self._asked)
        self._schema = table.schema
        if not table.other_schemas:
            return []
        if not table.ours:
            raise AmbiguousTableError((table.schema, *table.other_schemas))
        others = ", ".join(table.other_schemas)
        remark = (
            f"token_usage is in the schema {table.schema}; there is another one in {others}. To use that, add schema="
            " to DATABASE_URL."
        )
        return [remark]

    def all(self) -> None:
        connection = self._connect()
        try:
            elsewhere = self._choose_schema(connection)
            with self._locked(connection):
                self._check_zone(connection)
                done = self._applied_versions(connection)
                table = read_table(connection, self._schema)
                # The ledger says what ran; only the catalog says what is still there.
                if 1 not in done or not table.exists or table.missing_columns:
                    self._step_table(connection, table)
                    table = read_table(connection, self._schema)
                self._keep_zone(connection, table)
                table = read_table(connection, self._schema)
                self.result.remarks = [
                    *elsewhere,
                    *adoption.objections(table),
                    *adoption.remarks(table),
                    *self._zone_remark(table),
                ]
                for version, name in FILES.items():
                    if version not in done or not tables_created_by(version, name) <= _tables(connection, self._schema):
                        self._step_file(connection, version, name)
                        if name == "unpriced_rollup" and {1, 4} <= done:
                            self._refresh_inconsistent(connection, table)
                self._give_identities(connection)
                complete = 2 in done and not any(indexes.missing(connection, table))
                if not complete and _has_few_rows(connection):
                    self._build(connection, connection, table, done)
                    complete = True
            self.result.remarks += self._unfit(connection, table)
            if not complete:
                self._step_indexes_freely(connection, table, done)
        finally:
            connection.close()

    @contextmanager
    def _locked(self, connection: Connection) -> Iterator[None]:
        """One transaction under our advisory lock; both hold behind a transaction pooler too."""
        applied, statements = len(self.result.applied), len(self.result.statements)
        execute(connection, "BEGIN")
        try:
            execute(connection, f"SET LOCAL search_path = {quote(self._schema)}")
            execute(connection, "SELECT set_config('lock_timeout', %s, true)", (_LOCK_TIMEOUT,))
            execute(connection, "SELECT pg_advisory_xact_lock(%s)", (_lock_key(self._schema),))
            yield
            execute(connection, "ROLLBACK" if self._dry_run else "COMMIT")
        except BaseException:
            # A later try does it again; what an earlier transaction did stays done and told.
            del self.result.applied[applied:], self.result.statements[statements:]
            if not connection.closed:
                execute(connection, "ROLLBACK")
            raise

    def _check_zone(self, connection: Connection) -> None:
        """Python may know a zone that the server doesn't, and both convert."""
        if self._timezone is None:
            return
        known = "SELECT EXISTS (SELECT 1 FROM pg_timezone_names WHERE lower(name) = lower(%s))"
        if not execute(connection, known, (self._timezone,))[1][0][0]:
            raise SettingError(
                f"--timezone holds {self._timezone[:60]!r}, which this server doesn't know; it may hold an IANA time"
                " zone such as Asia/Seoul."
            )

    def _zone_remark(self, table: Table) -> list[str]:
        if self._timezone is None or table.naive_created_at:
            return []
        return [f"created_at has a time zone of its own, so --timezone {self._timezone} did nothing."]

    def _give_identities(self, connection: Connection) -> None:
        """Let our own tables be changed where they are published; of token_usage the owner is told how."""
        missing = publications.missing_replica_identities(connection, self._schema)
        if (usage := missing.pop(TABLE, None)) is not None:
            self.result.remarks.append(publications.remark(usage))
        for statement in missing.values():
            self._do(connection, statement)

    def _unfit(self, connection: Connection, table: Table) -> list[str]:
        """What the table's own constraints refuse of ours, and rows that no figure counts; asked without a lock."""

        limits = f"SET LOCAL search_path = {quote(self._schema)}, pg_catalog; SET LOCAL statement_timeout = '5s'; "

        def ask(question: str, parameters: Mapping[str, Any] | None) -> list[tuple[Any, ...]] | None:
            try:
                return execute(connection, limits + question, parameters)[1]
            except DatabaseError:
                if connection.closed:
                    raise
                return None

        count = constraint_check.undated(ask, table)
        return [
            *constraint_check.refused_defaults(ask, table),
            *([constraint_check.undated_remark(count)] if count else []),
        ]

    def _applied_versions(self, connection: Connection) -> set[int]:
        before = _tables(connection, self._schema)
        if "token_tracker_migrations" not in before:
            self._do(connection, _LEDGER)
            self._protect(connection, before)
        return _versions(connection)

    def _step_table(self, connection: Connection, table: Table) -> None:
        if problems := adoption.objections(table) if table.exists else []:
            raise SetupError(
                "not_adoptable",
                "The existing token_usage can't be adopted, and nothing was changed.",
                " ".join(problems),
            )
        before = _tables(connection, self._schema)
        if table.exists:
            for statement in adoption.column_statements(table):
                self._do(connection, statement)
        else:
            self._do(connection, step_text(1, "token_usage"))
        self._protect(connection, before)
        self._done(connection, 1, "adopt_token_usage" if table.exists else "create_token_usage")

    def _step_file(self, connection: Connection, version: int, name: str) -> None:
        before = _tables(connection, self._schema)
        self._do(connection, step_text(version, name))
        self._protect(connection, before)
        self._done(connection, version, name)

    def _refresh_inconsistent(self, connection: Connection, table: Table) -> None:
        """Let the rollups be made again where calls have inconsistent usage: an earlier version did not add them up.

        The statement that reads `token_usage` names no other table of ours, for Citus.
        """
        if self._dry_run:
            return
        zone = f" AT TIME ZONE {literal(table.created_at_zone)}" if table.created_at_zone else ""
        execute(connection, "SELECT set_config('statement_timeout', '10min', true)")
        _, rows = execute(
            connection,
            f"SELECT DISTINCT date_bin('15 minutes', created_at{zone}, 'epoch')::text FROM token_usage"  # noqa: S608
            " WHERE metadata ->> 'usage_problem' IS NOT NULL",
        )
        if rows:
            execute(
                connection,
                "INSERT INTO token_tracker_rollup_touched SELECT unnest(CAST(%s AS timestamptz[]))",
                ([bucket for (bucket,) in rows],),
            )

    def _keep_zone(self, connection: Connection, table: Table) -> None:
        """Store which zone a naive created_at means, in the column's comment: readable by every role."""
        if not table.naive_created_at or ZONE_COMMENT in (table.created_at_comment or ""):
            if self._timezone and self._timezone != (table.created_at_zone or self._timezone):
                raise SettingError(
                    f"created_at is known to mean {table.created_at_zone}; reading old rows as {self._timezone} would"
                    " move them. Change the column's comment by hand if that is what you want."
                )
            return
        note = ZONE_COMMENT + (self._timezone or "UTC")
        comment = "\n".join(filter(None, (table.created_at_comment, note)))
        self._do(connection, "COMMENT ON COLUMN token_usage.created_at IS " + literal(comment))

    def _step_indexes_freely(self, connection: Connection, table: Table, done: set[int]) -> None:
        """Build indexes, also where the role, or another client of the pooler, set limits that end it."""
        try:
            self._step_indexes(connection, table, done)
        except TransientError as error:
            if self._hindered or error.sqlstate not in indexes.HINDERED:
                raise
            self._hindered = True
            self._step_indexes(connection, table, done)

    def _step_indexes(self, connection: Connection, table: Table, done: set[int]) -> None:
        """Build what is missing without blocking writers, on a connection beside the one that holds our lock."""
        worker = self._connect()
        try:
            with self._locked(connection):
                _take_turn(worker)
                if not self._dry_run:
                    # Between the two transactions another run may have built them.
                    table, done = read_table(connection, self._schema), _versions(connection)
                self._build(connection, worker, table, done)
        finally:
            worker.close()

    def _build(self, holder: Connection, worker: Connection, table: Table, done: set[int]) -> None:
        """Each missing index; one left half-built by a dead run is made again."""
        found = list(indexes.missing(holder, table))
        for index in found:
            for statement in indexes.statements(table, index, beside=worker is not holder):
                self._do(worker, statement)
        if found or 2 not in done:
            self._done(holder, 2, "index_token_usage")

    def _protect(self, connection: Connection, before: set[str]) -> None:
        """On Supabase a table in an exposed schema is public until row-level security is on: ours never is."""
        if not read_table(connection, self._schema).supabase:
            return
        for name in sorted(_tables(connection, self._schema) - before):
            self._do(connection, f"ALTER TABLE {name} ENABLE ROW LEVEL SECURITY")
            self._do(connection, f"REVOKE ALL ON {name} FROM anon, authenticated")

    def _done(self, connection: Connection, version: int, name: str) -> None:
        self.result.applied.append(f"{version:04} {name}")
        if self._dry_run:
            return  # the ledger itself may have been rolled back
        execute(
            connection,
            "INSERT INTO token_tracker_migrations (version, name) VALUES (%s, %s)"
            " ON CONFLICT (version) DO UPDATE SET name = excluded.name, applied_at = now()",
            (version, name),
        )

    def _do(self, connection: Connection, statement: str) -> None:
        self.result.statements.append(statement.strip().rstrip(";") + ";")
        # In a dry run the transaction is rolled back; what can't stand in one is only listed.
        if self._dry_run and "INDEX" in statement.split("(")[0]:
            return
        if "CONCURRENTLY" in statement:
            indexes.run_alone(connection, statement, freely=self._hindered)
        else:
            execute(connection, statement)


def _has_few_rows(connection: Connection) -> bool:
    """Whether an index is built in no time: then it can be in our own transaction, on our one connection."""
    question = "SELECT count(*) FROM (SELECT FROM token_usage LIMIT %s) AS few"
    return bool(execute(connection, question, (_FEW_ROWS,))[1][0][0] < _FEW_ROWS)


def _take_turn(worker: Connection) -> None:
    """Find out whether there is a second connection: a pooler that lends one at a time would let us wait for us."""
    guard = Deadline(worker)
    try:
        with guard(time.monotonic() + _TURN_S):
            execute(worker, "SELECT 1")
    except DatabaseError:
        if not guard.fired:
            raise
        raise SetupError(
            "one_connection",
            "The pooler lends one connection at a time, and building an index beside a table's writers takes two.",
            "Set DATABASE_URL to the database's direct address for this command, or let the pooler have more.",
        ) from None


def _versions(connection: Connection) -> set[int]:
    """The steps that the ledger says are done."""
    _, rows = execute(connection, "SELECT version FROM token_tracker_migrations")
    return {version for (version,) in rows}


def _tables(connection: Connection, schema: str) -> set[str]:
    """The names of our own tables that exist in the schema."""
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
