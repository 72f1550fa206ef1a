"""How far the rollups reach, and what this role may do with them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from tracker.database.connect import Connection, execute
from tracker.database.schema import TABLE, Table, quote
from tracker.database.sql_file import load
from tracker.errors import SetupError
from tracker.rollups.rollup_tables import ALL

QUERIES = "tracker.rollups.sql"


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
    """What this role may do with the rollup tables.

    `guarded`: row-level security decides which rows this role sees. It reads those only, and adds nothing up: its sums
    would be nobody else's. `read_only`: the server is a replica, or the role's transactions may not write.
    """

    exists: bool
    reads: bool
    writes: bool
    guarded: bool
    read_only: bool
    role: str
    schema: str

    @property
    def remedy(self) -> str | None:
        """What lets this role use and refresh the rollups, or who may; None when it may."""
        if self.writes:
            return None
        if not self.exists:
            return "token-tracker migrate"
        if self.guarded:
            return f"ALTER ROLE {quote(self.role)} BYPASSRLS; -- if it may see every row"
        if self.read_only:
            return "token-tracker rollup  # with the DATABASE_URL of a server that may be written"
        tables = ", ".join(f"{quote(self.schema)}.{name}" for name in ALL)
        return f"GRANT SELECT, INSERT, UPDATE, DELETE ON {tables} TO {quote(self.role)};"


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
    _, rows = execute(connection, _ACCESS_FOR_DRIVER, names(table))
    return access(rows, table)


def access(rows: Sequence[tuple[Any, ...]], table: Table) -> Access:
    """What `ACCESS` answered; a schema that isn't there has no rows."""
    exists, reads, writes, guarded, read_only, role = rows[0] if rows else (False,) * 5 + ("",)
    return Access(exists, reads, writes, guarded, read_only, role, table.schema)


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
    return {"names": list(ALL), "usage": TABLE, "schema": table.schema}


# Row-level security counts on token_usage as much as on the rollups: who sees some rows of it may neither read what all
# of them add up to, nor put its own part in their place.
ACCESS = """
SELECT complete, complete AND reads AND NOT guarded, complete AND reads AND writes AND NOT guarded AND NOT read_only,
       guarded, read_only, current_user::text
FROM (
    SELECT count(c.oid) FILTER (WHERE ours) = cardinality(CAST(:names AS text[])) AS complete,
           bool_and(has_table_privilege(c.oid, 'SELECT')) FILTER (WHERE ours) AS reads,
           bool_and(has_table_privilege(c.oid, 'INSERT') AND has_table_privilege(c.oid, 'UPDATE')
               AND has_table_privilege(c.oid, 'DELETE')) FILTER (WHERE ours) AS writes,
           coalesce(bool_or(row_security_active(c.oid)), false) AS guarded,
           pg_is_in_recovery() OR current_setting('transaction_read_only') = 'on' AS read_only
    FROM pg_namespace n
    LEFT JOIN pg_class c ON c.relnamespace = n.oid AND c.relkind IN ('r', 'p')
     AND c.relname = ANY (CAST(:names AS text[]) || CAST(:usage AS text))
    CROSS JOIN LATERAL (SELECT c.relname = ANY (CAST(:names AS text[]))) AS which (ours)
    WHERE n.nspname = :schema
    GROUP BY n.oid
) AS access"""
_ACCESS_FOR_DRIVER = re.sub(r"(?<!:):([a-z]+)", r"%(\1)s", ACCESS)


def moments(seconds: Iterable[int]) -> str:
    """Seconds of the epoch as PostgreSQL's array of timestamptz."""
    return "{" + ",".join(datetime.fromtimestamp(second, UTC).isoformat() for second in seconds) + "}"
