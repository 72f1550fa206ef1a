"""Invalidates rollup buckets in the transaction that updates or deletes their rows.

An inserted row needs no invalidation: a refresh finds it by `recorded_at`. An updated or deleted row has no such trace.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from tracker.audit.ledger_deletions import LEDGER, RETURNED, ledger_insert_cte
from tracker.audit.table_rights import read_rights
from tracker.database.connect import Connection, execute
from tracker.database.schema import Table, read_table
from tracker.rollups.rollup_state import timestamptz_array
from tracker.rollups.rollup_tables import DIRTY_BUCKETS, INTERVAL_15M_S, qualified


def invalidate_buckets(connection: Connection, schema: str | None, created_at_times: Iterable[datetime]) -> None:
    """Mark the 15-minute buckets of changed or deleted calls as dirty. `created_at_times` are aware.

    Call it in the transaction that changes the calls, before or after the change, so that no reader combines old
    rollups with new rows. It runs one statement of a few milliseconds for any number of calls. Without rollup tables
    it does nothing. Raises `DatabaseError`.
    """
    table = read_table(connection, schema)
    buckets = {int(time.timestamp() // INTERVAL_15M_S * INTERVAL_15M_S) for time in created_at_times}
    if buckets and _rollups_exist(connection, table):
        execute(
            connection,
            f"INSERT INTO {qualified(table, DIRTY_BUCKETS)} SELECT unnest(CAST(%s AS timestamptz[]))",
            (timestamptz_array(sorted(buckets)),),
        )


def execute_and_invalidate(
    connection: Connection,
    schema: str | None,
    change: str,
    parameters: Mapping[str, Any] | None = None,
    *,
    ledger_kind: str | None = None,
) -> int:
    """Run an UPDATE or DELETE of `token_usage` and invalidate the buckets of its rows; return the number of rows.

    `change` has no RETURNING and names the table `{table}` with the alias `calls`, as in
    ``DELETE FROM {table} AS calls WHERE is_test``. An UPDATE must not change `created_at`. With `ledger_kind`, the
    sequence numbers of deleted rows are written to the loss ledger under that kind. Raises `DatabaseError`.
    """
    table = read_table(connection, schema)
    zone = table.created_at_zone
    created_at = "calls.created_at" + (" AT TIME ZONE %(created_at_zone)s" if zone else "")
    ledger_columns = "".join(f", calls.{name}" for name in RETURNED.split(", "))
    statement = change.replace("{table}", qualified(table, "token_usage"))
    parts = [f"gone AS ({statement} RETURNING {created_at} AS created_at{ledger_columns})"]
    if _rollups_exist(connection, table):
        parts.append(
            f" invalidated AS (INSERT INTO {qualified(table, DIRTY_BUCKETS)}"  # noqa: S608  our own names
            " SELECT DISTINCT date_bin('15 minutes', created_at, 'epoch') FROM gone)"
        )
    if ledger_kind and table.can_write_ledger:
        parts.append(ledger_insert_cte(qualified(table, LEDGER)))
    _, rows = execute(
        connection,
        f"WITH {','.join(parts)} SELECT count(*) FROM gone",  # noqa: S608  our own names
        {**(parameters or {}), "created_at_zone": zone, "kind": ledger_kind},
    )
    return int(rows[0][0])


def _rollups_exist(connection: Connection, table: Table) -> bool:
    # Not whether all rollup tables exist: a process of an older version refreshes and reads those that do.
    return read_rights(connection, table.schema, [DIRTY_BUCKETS]).exists(DIRTY_BUCKETS)
