"""What the rollups cover, and what the current role can do with them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from tracker.database.connect import Connection, execute
from tracker.database.schema import TABLE, Table, quote
from tracker.database.sql_file import load
from tracker.errors import SetupError
from tracker.messages import Message
from tracker.rollups.rollup_tables import ALL, DEPLOYMENTS

QUERIES = "tracker.rollups.sql"


@dataclass(frozen=True, slots=True)
class RollupState:
    """Times in seconds of the epoch. Rollups cover every day from `covered_from` on, except `dirty_buckets`.

    Rows from before `pruned_until` are deleted; their totals are in generations above 0. `properties` are the indexed
    ones; `has_unfinished_properties`: the totals of one of them have to be computed or deleted.
    """

    covered_from: float
    refreshed_at: float | None
    pruned_until: float | None
    generation: int
    dirty_buckets: Sequence[int]
    properties: Sequence[str] = ()
    has_unfinished_properties: bool = False

    @property
    def complete(self) -> bool:
        """Whether the rollups cover the time back to the first row."""
        return self.covered_from == float("-inf")


@dataclass(frozen=True, slots=True)
class RollupAccess:
    """What the current role can do with the rollup tables.

    `has_row_security`: row-level security limits the rows that this role sees. Such a role reads its rows only, and
    writes no totals, because other roles see other rows. `read_only`: the server is a replica, or transactions are
    read-only.
    """

    exists: bool
    reads: bool
    writes: bool
    has_row_security: bool
    read_only: bool
    role: str
    schema: str

    @property
    def remedy(self) -> str | None:
        """The command or SQL that lets this role refresh the rollups; None if it can."""
        if self.writes:
            return None
        if not self.exists:
            return "token-tracker migrate"
        if self.has_row_security:
            return f"ALTER ROLE {quote(self.role)} BYPASSRLS; -- if it may see every row"
        if self.read_only:
            return "token-tracker rollup  # with the DATABASE_URL of a server that may be written"
        tables = ", ".join(f"{quote(self.schema)}.{name}" for name in (*ALL, DEPLOYMENTS))
        return f"GRANT SELECT, INSERT, UPDATE, DELETE ON {tables} TO {quote(self.role)};"


def driver_sql(query: str, table: Table) -> str:
    """The SQL of a rollup query with the driver's placeholders."""
    return load(QUERIES, query).for_driver(table)


def read_state(connection: Connection, table: Table) -> RollupState:
    """What the rollups cover now. Raises `DatabaseError`."""
    _, rows = execute(connection, driver_sql("state", table), {"created_at_zone": table.created_at_zone})
    if not rows:
        raise rollups_missing_error()  # or row-level security hides the state row
    return RollupState(*rows[0])


def read_access(connection: Connection, table: Table) -> RollupAccess:
    """What the current role can do with the rollup tables. Raises `DatabaseError`."""
    _, rows = execute(connection, driver_sql("access", table), access_parameters(table))
    return access_from_rows(rows, table)


def access_from_rows(rows: Sequence[tuple[Any, ...]], table: Table) -> RollupAccess:
    """The result of the query `access`, which has no row if the schema doesn't exist."""
    exists, reads, writes, has_row_security, read_only, role = rows[0] if rows else (False,) * 5 + ("",)
    return RollupAccess(exists, reads, writes, has_row_security, read_only, role, table.schema)


def require_write_access(connection: Connection, table: Table) -> None:
    """Raise `SetupError` unless the current role can refresh the rollups."""
    access = read_access(connection, table)
    if not access.exists:
        raise rollups_missing_error()
    if not access.writes:
        raise SetupError("right_missing", Message("reports.right_missing"), access.remedy or "")


def rollups_missing_error() -> SetupError:
    """The error for a database without rollup tables."""
    return SetupError("rollups_missing", Message("reports.rollups_missing"), Message("reports.rollups_missing.remedy"))


def access_parameters(table: Table) -> dict[str, Any]:
    """The bound parameters of the query `access`."""
    return {"names": list(ALL), "usage": TABLE, "schema": table.schema}


def timestamptz(second: int) -> str:
    """Seconds of the epoch as a PostgreSQL timestamptz literal."""
    return datetime.fromtimestamp(second, UTC).isoformat()


def timestamptz_array(seconds: Iterable[int]) -> str:
    """Seconds of the epoch as a PostgreSQL array literal of timestamptz."""
    return "{" + ",".join(map(timestamptz, seconds)) + "}"
