"""How far the rollups reach, and what this role may do with them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from tracker.database.driver import Connection, execute
from tracker.database.question import load
from tracker.database.table import Table
from tracker.errors import SetupError
from tracker.rollups.tables import ALL

QUERIES = "tracker.rollups.queries"


@dataclass(frozen=True, slots=True)
class State:
    """Seconds of the epoch. Rollups hold every whole day from `covered_from` on, but for the quarters in `touched`.

    Single rows from before `pruned_until` are gone and live on in generations above 0.
    """

    covered_from: float
    refreshed_at: float | None
    pruned_until: float | None
    generation: int
    touched: Sequence[int]

    @property
    def complete(self) -> bool:
        """Whether rollups hold everything, back to the first row."""
        return self.covered_from == float("-inf")


@dataclass(frozen=True, slots=True)
class Access:
    """What this role may do with the rollup tables."""

    exists: bool
    reads: bool
    writes: bool
    role: str
    schema: str

    @property
    def remedy(self) -> str | None:
        """The statement that lets this role use and refresh the rollups; None when it may."""
        if self.writes:
            return None
        if not self.exists:
            return "token-tracker migrate"
        tables = ", ".join(f"{_quote(self.schema)}.{name}" for name in ALL)
        return f"GRANT SELECT, INSERT, UPDATE, DELETE ON {tables} TO {_quote(self.role)};"


def text(question: str, table: Table) -> str:
    """A question's SQL for the driver."""
    return load(QUERIES, question).for_driver(table)


def read_state(connection: Connection, table: Table) -> State:
    """Raises `DatabaseError`."""
    _, rows = execute(connection, text("state", table), {"created_at_zone": table.created_at_zone})
    if not rows:
        raise missing()  # row-level security hides its one row, too
    return State(*rows[0])


def read_access(connection: Connection, table: Table) -> Access:
    """Raises `DatabaseError`."""
    _, rows = execute(connection, ACCESS.replace(":names", "%(names)s").replace(":schema", "%(schema)s"), names(table))
    exists, reads, writes, role = rows[0]
    return Access(exists, reads, writes, role, table.schema)


def usable(connection: Connection, table: Table) -> None:
    """Raise `SetupError` unless this role may refresh the rollups."""
    access = read_access(connection, table)
    if not access.exists:
        raise missing()
    if not access.writes:
        raise SetupError("right_missing", "This database user may not write the rollups.", f"{access.remedy}")


def missing() -> SetupError:
    """The error for a database that wasn't migrated."""
    return SetupError("rollups_missing", "The rollup tables aren't there.", "Create them: token-tracker migrate.")


def names(table: Table) -> dict[str, Any]:
    """The parameters of `ACCESS`."""
    return {"names": list(ALL), "schema": table.schema}


# A role that row-level security keeps from the tables may not use them either: it would read nothing.
ACCESS = """
SELECT count(c.oid) = cardinality(CAST(:names AS text[])),
       coalesce(bool_and(has_table_privilege(c.oid, 'SELECT') AND NOT row_security_active(c.oid)), false),
       coalesce(bool_and(has_table_privilege(c.oid, 'SELECT') AND has_table_privilege(c.oid, 'INSERT')
           AND has_table_privilege(c.oid, 'UPDATE') AND has_table_privilege(c.oid, 'DELETE')
           AND NOT row_security_active(c.oid)), false)
         AND NOT pg_is_in_recovery() AND current_setting('transaction_read_only') = 'off',
       current_user::text
FROM pg_namespace n
LEFT JOIN pg_class c ON c.relnamespace = n.oid AND c.relname = ANY (CAST(:names AS text[])) AND c.relkind IN ('r', 'p')
WHERE n.nspname = :schema
GROUP BY n.oid"""


def moments(seconds: Iterable[int]) -> str:
    """Seconds of the epoch as PostgreSQL's array of timestamptz."""
    return "{" + ",".join(datetime.fromtimestamp(second, UTC).isoformat() for second in seconds) + "}"


def _quote(identifier: str) -> str:
    return '"' + identifier.replace('"', '""') + '"'
