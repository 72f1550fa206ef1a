"""Computes the totals of new indexed properties from the rows, newest days first, and deletes those of removed ones."""

from __future__ import annotations

from collections.abc import Sequence

from tracker.database.connect import Connection, execute
from tracker.database.schema import Table
from tracker.rollups.property_keys import read_indexed
from tracker.rollups.rollup_tables import PROPERTIES, PROPERTY, STATE, qualified

PURGED_ROWS = 50_000


def purge_removed(connection: Connection, table: Table) -> bool:
    """Delete totals of a removed key, at most `PURGED_ROWS` rows; False if there is nothing to delete.

    Totals of pruned calls remain: no row contains them any more. Raises `DatabaseError`.
    """
    keys, rollup = qualified(table, PROPERTIES), qualified(table, PROPERTY.table)
    _, rows = execute(connection, f"SELECT property FROM {keys} WHERE needs_purge LIMIT 1")  # noqa: S608  our own names
    if not rows:
        return False
    deleted, _ = execute(
        connection,
        f"DELETE FROM {rollup} WHERE ctid = ANY (ARRAY("  # noqa: S608
        f"SELECT ctid FROM {rollup} WHERE property = %s AND generation = 0 LIMIT {PURGED_ROWS}))",
        rows[0],
    )
    if deleted < PURGED_ROWS:
        execute(connection, f"DELETE FROM {keys} WHERE property = %s AND NOT is_indexed", rows[0])  # noqa: S608
        execute(connection, f"UPDATE {keys} SET needs_purge = false WHERE property = %s", rows[0])  # noqa: S608
    return True


def next_backfill(connection: Connection, table: Table) -> tuple[list[str], float] | None:
    """The keys that the next step computes, and the start of the days that they have; None if all are complete."""
    unfinished = [key for key in read_indexed(connection, table) if not key.is_complete]
    if not unfinished:
        return None
    covered_from = max(key.covered_from for key in unfinished)
    return [key.name for key in unfinished if key.covered_from == covered_from], covered_from


def set_covered(connection: Connection, table: Table, names: Sequence[str], start: int | None) -> None:
    """Store that these keys have every day from `start` on (seconds of the epoch; None: all days)."""
    execute(
        connection,
        f"UPDATE {qualified(table, PROPERTIES)} SET covered_from = coalesce(to_timestamp(%s), '-infinity')"  # noqa: S608
        " WHERE property = ANY (CAST(%s AS text[])) AND is_indexed AND NOT needs_purge",
        (start, list(names)),
    )


def follow_backfill(connection: Connection, table: Table, start: int | None) -> None:
    """As `set_covered`, for the keys that have all days that the rollups cover: their next days are computed as well.

    Call it before the state's own position changes.
    """
    execute(
        connection,
        f"UPDATE {qualified(table, PROPERTIES)} AS keys SET covered_from = coalesce(to_timestamp(%s), '-infinity')"  # noqa: S608
        f" FROM {qualified(table, STATE)} AS state"
        " WHERE is_indexed AND NOT needs_purge AND keys.covered_from <= state.covered_from",
        (start,),
    )
