"""Compares recorders' rows with the calls that spans reported earlier; the dashboard runs this every minute.

A recorder's row may wait in an outbox for hours, and arrive after the span of the same call was stored. Recorders make
no extra round trip for this. Their rows are compared here once, up to 24 hours after the call.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from tracker.database.connect import Connection, execute
from tracker.database.sample_ids import IS_SAMPLE_ID
from tracker.database.schema import Table, read_table
from tracker.errors import SetupError
from tracker.otlp.storing import stored_reports
from tracker.otlp.storing.call_locks import call_locks, lock, locking_transaction
from tracker.otlp.storing.call_plan import CallPlan
from tracker.otlp.storing.call_report import CallReport
from tracker.otlp.storing.call_rows import apply_plan
from tracker.otlp.storing.span_dedup import CallIndex
from tracker.otlp.storing.stored_reports import (
    SPAN_CALLS,
    created_at_sql,
    recorder_columns,
    recorder_report,
    table_name,
)
from tracker.reports.engine import current_reader

STATE = "token_tracker_span_state"
MAX_ROWS = 10_000
MAX_BATCHES = 4
# Rows of one transaction have the same recorded_at; WITH TIES reads all of them.
_LIMIT = f"FETCH FIRST {MAX_ROWS} ROWS WITH TIES"
_KEPT = "24 hours"
# Covers transactions that began before the last comparison and ended after it; recorders' take seconds.
_OVERLAP = "2 minutes"
_RUN_LOCK = 0x7370616E << 32


class ComparisonResult(NamedTuple):
    """The outcome of one comparison; `next_s` is the start of the next one, None if no rows remain."""

    rows: int = 0
    removed: int = 0
    next_s: float | None = None


def compare_late_rows() -> int:
    """Compare the rows that arrived since the last run; return the number of removed rows. Raises `TrackerError`."""
    removed, since_s = 0, None
    reader = current_reader.reader()
    for _ in range(MAX_BATCHES):
        with reader.borrow() as connection:
            compared = compare(connection, reader.table().schema, since_s)
        removed += compared.removed
        since_s = compared.next_s
        if since_s is None:
            break
    return removed


def compare(connection: Connection, schema: str | None, since_s: float | None = None) -> ComparisonResult:
    """Compare the next rows of recorders in one transaction, starting at the stored state or at `since_s`.

    Raises `DatabaseError`.
    """
    with locking_transaction(connection):
        table = read_table(connection, schema)
        if table.missing_columns or not _is_needed(connection, table):
            return ComparisonResult()
        arrived_since_s = _state(connection, table) if since_s is None else since_s
        rows = arrived_rows(connection, table, arrived_since_s, recorder_columns(table))
        reports = [recorder_report(row[1:]) for row in rows]
        planned = _plan(connection, table, reports)
        if planned is not None:
            apply_plan(connection, table, planned)
            stored_reports.save(connection, schema, planned.changed.values())
        next_s = rows[-1][0] if len(rows) >= MAX_ROWS else None
        _save_state(connection, table, next_s)
    removed = len(planned.removed) + len(planned.removed_recorded) if planned else 0
    return ComparisonResult(len(rows), removed, next_s)


def _is_needed(connection: Connection, table: Table) -> bool:
    """Whether spans reported calls in the last day, and no other process runs a comparison."""
    try:
        _, rows = execute(
            connection,
            f"SELECT EXISTS (SELECT 1 FROM {table_name(table.schema)})"  # noqa: S608  our own name
            f" AND pg_try_advisory_xact_lock({_RUN_LOCK})",
        )
    except SetupError as error:
        if error.code == "table_missing":
            raise SetupError(error.code, f"{SPAN_CALLS} isn't there.", "Create it: token-tracker migrate.") from None
        raise
    return bool(rows[0][0])


def _state(connection: Connection, table: Table) -> float:
    """The `recorded_at` at which to start, in epoch seconds.

    A stored time that is later than `_save_state` stores means that the database's clock was set back; all rows are
    then compared again.
    """
    _, rows = execute(
        connection,
        "SELECT extract(epoch FROM greatest("  # noqa: S608  our own name
        f"(SELECT compared_until FROM {table_name(table.schema, STATE)}"
        f" WHERE compared_until <= now() - interval '{_OVERLAP}'), now() - interval '{_KEPT}'))::float8",
    )
    return float(rows[0][0])


def _save_state(connection: Connection, table: Table, next_s: float | None) -> None:
    execute(
        connection,
        f"INSERT INTO {table_name(table.schema, STATE)} (compared_until)"  # noqa: S608  our own name
        f" VALUES (least(to_timestamp(%s), now() - interval '{_OVERLAP}'))"
        " ON CONFLICT (only_row) DO UPDATE SET compared_until = excluded.compared_until",
        (next_s,),
    )


def arrived_rows(
    connection: Connection, table: Table, since_s: float, columns: str, condition: str = "TRUE"
) -> list[tuple[Any, ...]]:
    """The arrival time in epoch seconds and these columns of the recorders' rows that arrived since then.

    The first column must be the row's id. There is no index on `recorded_at` alone: rows that arrived within 15 minutes
    after their call are read by `created_at`, later ones by the index on late rows.
    """
    created_at = created_at_sql(table)
    select = (
        f"SELECT extract(epoch FROM calls.recorded_at)::float8 AS arrived_s, {columns}"  # noqa: S608
        f" FROM {table_name(table.schema, 'token_usage')} AS calls WHERE calls.instance_id IS NOT NULL"
        f" AND NOT {IS_SAMPLE_ID}"
        " AND calls.recorded_at > to_timestamp(%(since_s)s) AND calls.recorded_at <= now() + interval '1 hour'"
        f" AND {created_at} > now() - interval '{_KEPT}' AND {created_at} < now() + interval '1 day'"
        f" AND {condition} AND "
    )
    conditions = [f"{created_at} >= to_timestamp(%(since_s)s) - interval '15 minutes'"]
    if table.late_index:
        conditions.append(
            f"(calls.recorded_at AT TIME ZONE 'UTC') - interval '15 minutes' > ({created_at} AT TIME ZONE 'UTC')"
        )
    parts = " UNION ALL ".join(f"({select}{index} ORDER BY calls.recorded_at {_LIMIT})" for index in conditions)
    _, rows = execute(
        connection,
        f"SELECT * FROM (SELECT DISTINCT ON (calls.id) calls.* FROM ({parts}) AS calls ORDER BY calls.id) AS calls"  # noqa: S608
        f" ORDER BY arrived_s {_LIMIT}",
        {"since_s": since_s},
    )
    return rows


def _plan(connection: Connection, table: Table, reports: Sequence[CallReport]) -> CallPlan | None:
    """The changes to write; None if none of these rows is a call that spans reported."""
    if not reports:
        return None
    calls = CallIndex(stored_reports.span_calls(connection, table.schema, reports))
    matched = [report for report in reports if calls.match(report)]
    if not matched:
        return None
    lock(connection, call_locks(table.schema, matched))
    # Another process may have changed the reports before the locks were taken.
    ids = [report.record_id for report in matched]
    known = stored_reports.span_calls(connection, table.schema, matched, call_ids=ids)
    planned = CallPlan(CallIndex(known), frozenset(one.call_id for one in known if one.call_id))
    for report in matched:
        _replace_spans(planned, report)
    return planned if planned.changed or planned.removed_recorded else None


def _replace_spans(planned: CallPlan, report: CallReport) -> None:
    """Count the call by the recorder's row, unless only the span has usage."""
    other = planned.calls.match(report)
    if other is None or other.call_id is None or planned.calls.of(report.record_id):
        return
    members = planned.calls.of(other.call_id)
    if not report.quality[0] and any(member.quality[0] for member in members):
        planned.removed_recorded.add(report.record_id)
        planned.merged[report.record_id] = other.call_id
        return
    planned.calls.add(report)
    for member in members:
        planned.move(member, report.record_id)
    planned.removed.add(other.call_id)
