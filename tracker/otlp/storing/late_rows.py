"""Compares rows that recorders wrote with the calls that spans reported before: the dashboard does it every minute.

A recorder's row may wait in an outbox for hours, and arrive after the span of the same call has been stored. Recorders
make no extra round trip for this; their rows are compared here, each one once, up to 24 hours after the call.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from tracker.database.connect import Connection, execute
from tracker.database.schema import Table, read_table
from tracker.errors import SetupError
from tracker.otlp.storing import stored_reports
from tracker.otlp.storing.call_locks import call_locks, lock, transaction
from tracker.otlp.storing.call_plan import Plan
from tracker.otlp.storing.call_report import CallReport
from tracker.otlp.storing.call_rows import apply
from tracker.otlp.storing.span_dedup import Calls
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
# Rows of one transaction have the same recorded_at: none of them may be cut off.
_LIMIT = f"FETCH FIRST {MAX_ROWS} ROWS WITH TIES"
_KEPT = "24 hours"
# Transactions that began before the last comparison and ended after it: recorders' take seconds.
_OVERLAP = "2 minutes"
_RUN_LOCK = 0x7370616E << 32


class Compared(NamedTuple):
    """The outcome of one comparison; `next_s` is where the next one goes on, None if there is nothing left."""

    rows: int = 0
    removed: int = 0
    next_s: float | None = None


def compare_late_rows() -> int:
    """Compare the rows that arrived since the last run; how many rows were removed. Raises `TrackerError`."""
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


def compare(connection: Connection, schema: str | None, since_s: float | None = None) -> Compared:
    """Compare the next rows of recorders in one transaction: from the stored state on, or from `since_s`.

    Raises `DatabaseError`.
    """
    with transaction(connection):
        table = read_table(connection, schema)
        if table.missing_columns or not _is_needed(connection, table):
            return Compared()
        rows = _arrived(connection, table, _state(connection, table) if since_s is None else since_s)
        reports = [recorder_report(row[1:]) for row in rows]
        planned = _plan(connection, table, reports)
        if planned is not None:
            apply(connection, table, planned)
            stored_reports.save(connection, schema, planned.changed.values())
        next_s = rows[-1][0] if len(rows) >= MAX_ROWS else None
        _save_state(connection, table, next_s)
    removed = len(planned.removed) + len(planned.removed_recorded) if planned else 0
    return Compared(len(rows), removed, next_s)


def _is_needed(connection: Connection, table: Table) -> bool:
    """Whether spans reported calls in the last day, and no other process compares now."""
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
    """From which `recorded_at` on to compare, in seconds of the epoch.

    A stored time that is later than `_save_state` can store means that the database's clock was set back: all is
    compared again.
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


def _arrived(connection: Connection, table: Table, since_s: float) -> list[tuple[Any, ...]]:
    """The rows of recorders that arrived since then, the oldest first, each after the second of its arrival."""
    return arrived_rows(connection, table, since_s, recorder_columns(table))


def arrived_rows(
    connection: Connection, table: Table, since_s: float, columns: str, condition: str = "TRUE"
) -> list[tuple[Any, ...]]:
    """These columns of recorders' rows that arrived since then, each after the second of its arrival.

    The first column is the row's id. There is no index on `recorded_at` alone: rows that arrived within a quarter of an
    hour after their call are read by `created_at`, later ones by the index on late rows.
    """
    moment = created_at_sql(table)
    chosen = (
        f"SELECT extract(epoch FROM calls.recorded_at)::float8 AS arrived_s, {columns}"  # noqa: S608
        f" FROM {table_name(table.schema, 'token_usage')} AS calls WHERE calls.instance_id IS NOT NULL"
        " AND calls.recorded_at > to_timestamp(%(since_s)s) AND calls.recorded_at <= now() + interval '1 hour'"
        f" AND {moment} > now() - interval '{_KEPT}' AND {moment} < now() + interval '1 day' AND {condition} AND "
    )
    conditions = [f"{moment} >= to_timestamp(%(since_s)s) - interval '15 minutes'"]
    if table.late_index:
        conditions.append(
            f"(calls.recorded_at AT TIME ZONE 'UTC') - interval '15 minutes' > ({moment} AT TIME ZONE 'UTC')"
        )
    parts = " UNION ALL ".join(f"({chosen}{index} ORDER BY calls.recorded_at {_LIMIT})" for index in conditions)
    _, rows = execute(
        connection,
        f"SELECT * FROM (SELECT DISTINCT ON (found.id) found.* FROM ({parts}) AS found ORDER BY found.id) AS found"  # noqa: S608
        f" ORDER BY arrived_s {_LIMIT}",
        {"since_s": since_s},
    )
    return rows


def _plan(connection: Connection, table: Table, reports: Sequence[CallReport]) -> Plan | None:
    """What to change; None if no row of these is a call that spans reported."""
    matched = _matched(Calls(stored_reports.span_calls(connection, table.schema, reports)), reports) if reports else []
    if not matched:
        return None
    lock(connection, call_locks(table.schema, matched))
    # Another process may have changed the reports before the locks were ours.
    ids = [report.record_id for report in matched]
    known = stored_reports.span_calls(connection, table.schema, matched, call_ids=ids)
    planned = Plan(Calls(known), frozenset(one.call_id for one in known if one.call_id))
    for report in matched:
        _replace_spans(planned, report)
    return planned if planned.changed or planned.removed_recorded else None


def _matched(calls: Calls, reports: Sequence[CallReport]) -> list[CallReport]:
    return [report for report in reports if calls.match(report)]


def _replace_spans(planned: Plan, report: CallReport) -> None:
    """Let the recorder's row count the call, unless only the span has its usage."""
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
