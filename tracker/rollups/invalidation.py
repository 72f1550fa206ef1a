"""Changes that the rollups can't see by themselves: whoever makes them marks the buckets in the same transaction.

New rows need no mark: their `recorded_at` tells. A row that was changed or deleted leaves nothing behind that could.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from tracker.database.connect import Connection, execute
from tracker.database.ledger_deletions import LEDGER, RETURNED, ledger_insert_cte
from tracker.database.schema import Table, read_table
from tracker.rollups.rollup_state import moments, read_access
from tracker.rollups.rollup_tables import QUARTER_S, TOUCHED, qualified


def mark_touched(connection: Connection, schema: str | None, moments_of_calls: Iterable[datetime]) -> None:
    """Have the rollups made anew where calls with these `created_at` (aware) were changed or deleted.

    To be called in the transaction that changes them, before or after; readers then never see old figures beside new
    rows. Costs one statement of some milliseconds whatever the number of calls. Nothing happens in a database whose
    rollups aren't there yet. Raises `DatabaseError`.
    """
    table = read_table(connection, schema)
    buckets = {int(moment.timestamp() // QUARTER_S * QUARTER_S) for moment in moments_of_calls}
    if buckets and _exists(connection, table):
        execute(
            connection,
            f"INSERT INTO {qualified(table, TOUCHED)} SELECT unnest(CAST(%s AS timestamptz[]))",
            (moments(sorted(buckets)),),
        )


def change_and_mark(
    connection: Connection,
    schema: str | None,
    change: str,
    parameters: Mapping[str, Any] | None = None,
    *,
    explained_as: str | None = None,
) -> int:
    """Run an UPDATE or DELETE of `token_usage` (aliased `calls`) and mark what it touched, in one statement.

    `change` has no RETURNING and names the table `{table}`, as in ``DELETE FROM {table} AS calls WHERE is_test``; how
    many rows it touched is returned. An UPDATE must not change `created_at`. With `explained_as` a deletion's numbers
    go into the ledger under that kind. Raises `DatabaseError`.
    """
    table = read_table(connection, schema)
    zone = table.created_at_zone
    moment = "calls.created_at" + (" AT TIME ZONE %(created_at_zone)s" if zone else "")
    numbers = "".join(f", calls.{name}" for name in RETURNED.split(", "))
    statement = change.replace("{table}", qualified(table, "token_usage"))
    parts = [f"gone AS ({statement} RETURNING {moment} AS created_at{numbers})"]
    if _exists(connection, table):
        parts.append(
            f" marked AS (INSERT INTO {qualified(table, TOUCHED)}"  # noqa: S608  our own names
            " SELECT DISTINCT date_bin('15 minutes', created_at, 'epoch') FROM gone)"
        )
    if explained_as and table.can_write_ledger:
        parts.append(ledger_insert_cte(qualified(table, LEDGER)))
    _, rows = execute(
        connection,
        f"WITH {','.join(parts)} SELECT count(*) FROM gone",  # noqa: S608  our own names
        {**(parameters or {}), "created_at_zone": zone, "kind": explained_as},
    )
    return int(rows[0][0])


def _exists(connection: Connection, table: Table) -> bool:
    return read_access(connection, table).exists
