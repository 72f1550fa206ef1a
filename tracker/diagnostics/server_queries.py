"""What the database says about itself, the table and its use, each question under a time limit of its own."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from tracker.database import adoption
from tracker.database.connect import Connection, elapsed_ms, execute
from tracker.database.migrations import VERSIONS
from tracker.database.publications import missing_replica_identities
from tracker.database.schema import DEFAULT_SCHEMA, Table, quote, read_table
from tracker.database.statement_pooling import refuses_transactions
from tracker.errors import DatabaseError, RecordError, SetupError, TransientError
from tracker.platforms import Runtime
from tracker.recording.insert import Target, insert
from tracker.recording.instance import Instance
from tracker.usage import TokenUsage

QUESTION_MS = 1500
LOCK_MS = 1000
_LEAST_S = 0.2
SELECT_POLICY = "a row-level security policy for SELECT"
INSERT_POLICY = "a row-level security policy for INSERT"
# What an owner's constraints may be about: the app's own values fit, ours may not.
_OF_THE_APP = ("user_id", "session_id", "provider", "model", "operation", "environment")
_TAKEN_BACK = "TT000"
_TAKE_BACK = (
    "; DO $$ BEGIN RAISE EXCEPTION 'token-tracker doctor takes its test insert back'"
    f" USING ERRCODE = '{_TAKEN_BACK}'; END $$"
)


@cache
def _text(question: str) -> str:
    return (Path(__file__).parent / "sql" / f"{question}.sql").read_text(encoding="utf-8")


class Server:
    """Asks one connection, until `deadline` (`time.monotonic`). Every method raises `DatabaseError`."""

    def __init__(
        self, connection: Connection, schema: str | None, deadline: float, reconnect: Callable[[], Connection]
    ) -> None:
        self._connection = connection
        self._reconnect = reconnect
        self._asked = schema
        self._schema = DEFAULT_SCHEMA
        self._deadline = deadline
        self.unanswered: dict[str, str] = {}
        """Questions that stayed open: each with the sentence that says why."""
        self.refused_default: DatabaseError | None = None
        """Why a call without anything of the app's is refused."""
        self.statement_mode = False
        """Whether a pooler takes no transactions."""

    def _limit(self) -> str:
        left = self._deadline - time.monotonic()
        if left < _LEAST_S:
            raise TransientError("out_of_time", "The time for the report was used up.", "Ask again.")
        timeout_ms = min(QUESTION_MS, int(left * 1000))
        # One simple query under AUTOCOMMIT: the settings end with it, behind a transaction pooler too.
        return (
            f"SET LOCAL statement_timeout = {timeout_ms}; SET LOCAL lock_timeout = {min(LOCK_MS, timeout_ms)};"
            f" SET LOCAL search_path = {quote(self._schema)}, pg_catalog; "
        )

    def rows(self, question: str) -> list[dict[str, Any]]:
        """The answer to `queries/<question>.sql`, a dict a row."""
        wrapped = f"SELECT to_json(answer)::text FROM ({_text(question).rstrip().removesuffix(';')}\n) AS answer"  # noqa: S608
        import json

        _, rows = execute(self._connection, self._limit() + wrapped)
        return [json.loads(row[0]) for row in rows]

    def ask(self, question: str) -> list[dict[str, Any]] | None:
        """The same, or None where the question can't be answered now; the reason is kept."""
        try:
            return self.rows(question)
        except DatabaseError as error:
            self.unanswered[question] = error.sentence
            if self._connection.closed:
                raise
            return None

    def answer(self, question: str, parameters: Mapping[str, Any] | None = None) -> list[tuple[Any, ...]] | None:
        """The rows of a statement of ours, or None where it can't be answered now."""
        try:
            return execute(self._connection, self._limit() + question, parameters)[1]
        except DatabaseError:
            if self._connection.closed:
                raise
            return None

    def missing_replica_identities(self) -> list[str]:
        """Statements that let published tables be changed; empty where none is needed, or where nobody answers."""
        try:
            return list(missing_replica_identities(self._connection, self._schema, self._limit()).values())
        except DatabaseError:
            if self._connection.closed:
                raise
            return []

    def latency_ms(self) -> float:
        """One round trip."""
        started = time.perf_counter()
        execute(self._connection, "SELECT 1")
        return elapsed_ms(started)

    def table(self) -> Table:
        """The table as the catalog has it; needs no right on it. Further questions are about its schema."""
        found = read_table(self._connection, self._asked, self._limit())
        self._schema = found.schema
        return found

    def pending_migrations(self) -> list[int] | None:
        """The steps of `migrate` that this database lacks; None where the role may not read which were taken."""
        try:
            question = self._limit() + "SELECT version FROM token_tracker_migrations"  # noqa: S608  our own text
            _, rows = execute(self._connection, question)
        except SetupError as error:
            return list(VERSIONS) if error.code == "table_missing" else None
        return sorted(set(VERSIONS) - {version for (version,) in rows})

    def try_insert(self, table: Table, runtime: Runtime) -> DatabaseError | None:
        """Insert a test recording as the recorder does, and take it back; why that isn't possible, or None.

        Only this finds what no catalog tells: triggers, constraints, policies, locks. The row is never committed.
        """
        refused = self._try_insert(table, _probe(table, runtime))
        if isinstance(refused, RecordError):
            self.refused_default = refused
            return self._try_as_the_app(table, runtime, refused)
        if refused is None or refused.code != "connection_lost":
            return refused
        if refuses_transactions(self._reconnect):
            self.statement_mode = True
            self._connection = self._reconnect()
            refused = self._try_insert_alone(table, _probe(table, runtime))
        return refused

    def _try_as_the_app(self, table: Table, runtime: Runtime, refused: DatabaseError) -> DatabaseError | None:
        """The same with what the last record has in the columns that constraints may be about, if there is one."""
        names = [name for name in _OF_THE_APP if name in table.columns]
        question = f"SELECT {', '.join(map(quote, names))} FROM token_usage ORDER BY created_at DESC NULLS LAST LIMIT 1"  # noqa: S608
        rows = self.answer(question)
        if not rows:
            return refused
        own = {name: value for name, value in zip(names, rows[0], strict=True) if value is not None}
        return self._try_insert(table, {**_probe(table, runtime), **own})

    def _try_insert(self, table: Table, row: Mapping[str, Any]) -> DatabaseError | None:
        try:
            prefix = "BEGIN; " + self._limit() + "SET TRANSACTION READ WRITE; "
            insert(self._connection, Target.of(table), row, prefix)
        except DatabaseError as error:
            return error
        finally:
            with suppress(DatabaseError):
                execute(self._connection, "ROLLBACK")
        return None

    def _try_insert_alone(self, table: Table, row: Mapping[str, Any]) -> DatabaseError | None:
        """The same where no transaction may be begun: an error in the same message takes the row back."""
        try:
            prefix = self._limit() + "SET TRANSACTION READ WRITE; "
            insert(self._connection, Target.of(table), row, prefix, _TAKE_BACK)
        except DatabaseError as error:
            return None if error.sqlstate == _TAKEN_BACK else error
        return None


def _probe(table: Table, runtime: Runtime) -> dict[str, Any]:
    usage = TokenUsage(model="token-tracker-probe", operation="diagnosis", is_test=True)
    row = {**Instance(runtime).row(usage, "direct"), "sequence": None}
    return {name: value for name, value in row.items() if name in table.columns}


def objections(table: Table) -> list[str]:
    """Why records can't be stored in this table, as `migrate` would say it."""
    return adoption.find_objections(table)


def moment(text: str | None, zone: str | None = None) -> str | None:
    """A time of the database as ISO 8601 in UTC; `zone` is what a time without one means.

    PostgreSQL has times that Python hasn't: infinity, BC, years beyond 9999. They stay as PostgreSQL writes them.
    """
    if text is None:
        return None
    try:
        found = datetime.fromisoformat(text)
        if found.tzinfo is None:
            found = found.replace(tzinfo=ZoneInfo(zone or "UTC"))
        return found.astimezone(UTC).isoformat(timespec="seconds")
    except (ValueError, OverflowError, KeyError):  # KeyError: a zone that isn't installed here
        return text


def missing_rights(found: Mapping[str, Any] | None, schema: str) -> list[str]:
    """What a recorder needs and this role lacks, as GRANT names it."""
    if not found:
        return []
    rights = []
    if not found["usage_on_schema"]:
        rights.append(f"USAGE ON SCHEMA {schema}")
    if not found["may_select"]:
        rights.append("SELECT")
    if not found["may_insert"]:
        rights.append("INSERT")
    if found["row_security_active"] and not found["policy_selects"]:
        rights.append(SELECT_POLICY)
    if found["row_security_active"] and not found["policy_inserts"]:
        rights.append(INSERT_POLICY)
    return rights


def only_reads(missing: list[str]) -> bool:
    """Whether a role lacks nothing but the right to insert: it is one for reading."""
    return bool(missing) and {*missing} <= {"INSERT", INSERT_POLICY}
