"""Removes the marked rows of background responses that were retrieved later; the dashboard runs this every minute.

A recorder writes a row with the code `response_never_retrieved` when it ends before it retrieved a response. If another
process retrieves the response, a second row counts it. Both ids are derived from the provider and the response's id, so
the id of either row can be computed from the other row.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import Any, NamedTuple

from tracker.database.connect import Connection, execute
from tracker.database.schema import Table, read_table
from tracker.otlp.storing.call_locks import locking_transaction
from tracker.otlp.storing.late_rows import MAX_BATCHES, MAX_ROWS, arrived_rows
from tracker.otlp.storing.stored_reports import table_name
from tracker.recording.capture.background_responses import NEVER_RETRIEVED, derived_id
from tracker.recording.capture.response_ids import plain_response_id
from tracker.reports.engine import current_reader
from tracker.rollups.invalidation import execute_and_invalidate

_FIRST_S = 24 * 3600.0
# Covers transactions that began before the last run and ended after it; recorders' take seconds.
_OVERLAP_S = 120.0
_COLUMNS = "calls.id::text, calls.provider, calls.metadata ->> 'response_id'"
# Recorders give other rows random ids; those of background responses and batches are UUIDs of version 8.
_DERIVED = "substr(calls.id::text, 15, 1) = '8' AND calls.metadata ->> 'response_id' IS NOT NULL"
_DELETE = (
    "DELETE FROM {table} AS calls WHERE calls.id = ANY (CAST(%(ids)s AS uuid[])) AND calls.instance_id IS NOT NULL"
    " AND calls.metadata ->> 'usage_problem' = %(problem)s"
)
_last_s: dict[str, float] = {}
"""The start of the next run by database, in epoch seconds; the first run covers a day."""


def remove_retrieved() -> int:
    """Remove marked rows of responses retrieved since the last run; return their number. Raises `TrackerError`."""
    removed = 0
    reader = current_reader.reader()
    name, started_s = str(reader.database.url), time.time()
    for _ in range(MAX_BATCHES):
        since_s = _last_s.get(name, started_s - _FIRST_S)
        with reader.borrow() as connection:
            result = remove_since(connection, reader.table().schema, since_s)
        removed += result.removed
        _last_s[name] = started_s - _OVERLAP_S if result.next_s is None else result.next_s
        if result.next_s is None:
            break
    return removed


class RemovalResult(NamedTuple):
    """The outcome of one run; `next_s` is the start of the next one, None if no rows remain."""

    removed: int = 0
    next_s: float | None = None


def remove_since(connection: Connection, schema: str | None, since_s: float) -> RemovalResult:
    """Remove marked rows whose response has a row with its result, if one of the two arrived since then.

    Raises `DatabaseError`.
    """
    with locking_transaction(connection):
        table = read_table(connection, schema)
        if table.missing_columns:
            return RemovalResult()
        rows = arrived_rows(connection, table, since_s, _COLUMNS, _DERIVED)
        next_s = rows[-1][0] if len(rows) >= MAX_ROWS else None
        pairs = _pairs(rows)
        retrieved = _stored(connection, table, pairs.values())
        ids = sorted(marked for marked, result in pairs.items() if result in retrieved)
        if not ids:
            return RemovalResult(0, next_s)
        return RemovalResult(
            execute_and_invalidate(
                connection, schema, _DELETE, {"ids": ids, "problem": NEVER_RETRIEVED}, ledger_kind="removed"
            ),
            next_s,
        )


def _pairs(rows: Iterable[tuple[Any, ...]]) -> dict[str, str]:
    """The id of a response's marked row → the id of the row with its result, for the responses of these rows."""
    pairs = {}
    for _, record_id, provider, response_id in rows:
        marked = str(derived_id(provider, response_id, NEVER_RETRIEVED))
        result = str(derived_id(provider, plain_response_id(response_id)))
        if record_id in {marked, result}:
            pairs[marked] = result
    return pairs


def _stored(connection: Connection, table: Table, ids: Iterable[str]) -> set[str]:
    wanted = sorted(ids)
    if not wanted:
        return set()
    _, rows = execute(
        connection,
        f"SELECT calls.id::text FROM {table_name(table.schema, 'token_usage')} AS calls"  # noqa: S608  our own name
        " WHERE calls.id = ANY (CAST(%s AS uuid[]))",
        (wanted,),
    )
    return {record_id for (record_id,) in rows}
