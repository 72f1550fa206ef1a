"""Keeps the time of the first call of each deployment, for the marks of the charts.

A query over the rows would read all calls. The table is optional: without it, or without the privilege to write it, a
refresh of the rollups leaves it unchanged.
"""

from __future__ import annotations

from collections.abc import Iterable

from tracker.audit.table_rights import WRITES, read_rights
from tracker.database.connect import Connection, execute
from tracker.database.schema import Table
from tracker.rollups.rollup_state import driver_sql, timestamptz_array
from tracker.rollups.rollup_tables import DEPLOYMENTS, STATE, qualified


def add_first_calls(connection: Connection, table: Table, buckets: Iterable[int]) -> None:
    """Add the deployments of the rows of these 15-minute buckets (starts in seconds of the epoch).

    The time of a known deployment changes only to an earlier one. Raises `DatabaseError`.
    """
    if not _may_write(connection, table):
        return
    execute(
        connection,
        f"INSERT INTO {qualified(table, DEPLOYMENTS)} AS known (deployment, environment, first_at)"
        f" {driver_sql('first_calls_from_rows', table)} ON CONFLICT (deployment, environment)"
        " DO UPDATE SET first_at = excluded.first_at WHERE excluded.first_at < known.first_at",
        {"buckets": timestamptz_array(sorted(set(buckets))), "created_at_zone": table.created_at_zone},
    )


def remove_first_calls(connection: Connection, table: Table, since: str) -> None:
    """Remove the deployments whose first call is at or after `since` (a timestamptz literal), for a rebuild.

    Deployments whose first call was pruned remain: no row contains it any more. Raises `DatabaseError`.
    """
    if not _may_write(connection, table):
        return
    execute(
        connection,
        f"DELETE FROM {qualified(table, DEPLOYMENTS)} WHERE first_at >= %(since)s"  # noqa: S608  our own names
        f" AND first_at >= coalesce((SELECT pruned_until FROM {qualified(table, STATE)}), '-infinity')",
        {"since": since},
    )


def _may_write(connection: Connection, table: Table) -> bool:
    return read_rights(connection, table.schema, [DEPLOYMENTS]).allows(DEPLOYMENTS, WRITES)
