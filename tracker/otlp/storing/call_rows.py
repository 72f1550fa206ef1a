"""Writes a plan to token_usage: inserts new rows, completes rows from other reports, deletes rows that repeat."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from tracker.database.connect import Connection, execute
from tracker.database.schema import Table
from tracker.errors import DatabaseError, SetupError
from tracker.otlp.storing import stored_reports
from tracker.otlp.storing.call_plan import CallPlan
from tracker.otlp.storing.call_report import CallReport, row_report
from tracker.otlp.storing.span_dedup import merge_rows
from tracker.recording.bulk_insert import BatchWriter, savepoint
from tracker.recording.record_log import warn_once
from tracker.rollups.invalidation import execute_and_invalidate
from tracker.usage import TOKEN_COLUMNS

Row = Mapping[str, Any]
_DELETE = "DELETE FROM {table} AS calls WHERE calls.id = ANY (CAST(%(ids)s AS uuid[])) AND calls.instance_id IS "
_REMAINING = "SELECT 1 FROM {table} AS calls WHERE calls.id = ANY (CAST(%(ids)s AS uuid[])) LIMIT 1"
_COUNTED_TWICE = "An AI call was reported twice and one row could not be deleted; its tokens are counted twice."
_NOT_COMPLETED = "The row of an AI call wasn't completed from another report of the same call."


def apply_plan(connection: Connection, table: Table, planned: CallPlan) -> tuple[list[str], str | None]:
    """Write the plan in the caller's transaction; return the reasons of refused rows, and a warning.

    Raises `DatabaseError`.
    """
    completed = {call_id: rows for call_id, rows in planned.rows.items() if _is_of_spans(planned, call_id)}
    stored_ids = {call_id for call_id, rows in completed.items() if call_id in planned.stored and _adds(call_id, rows)}
    stored_ids |= planned.merged.keys() | set(planned.merged.values()) & planned.stored
    stored = stored_reports.stored_rows(connection, table, stored_ids) if stored_ids else {}
    remark = _delete(connection, table, planned.removed, "NULL") if planned.removed else None
    if planned.removed_recorded:
        remark = _delete(connection, table, planned.removed_recorded, "NOT NULL") or remark
    for removed, call_id in planned.merged.items():
        if removed in stored:
            completed[call_id] = [*completed.get(call_id, []), _as_report(stored[removed])]
    new = {call_id: rows for call_id, rows in completed.items() if call_id not in stored}
    old = {call_id: rows for call_id, rows in completed.items() if call_id in stored}
    refused = _insert(connection, table, [_row(call_id, rows) for call_id, rows in new.items()])
    changed = {call_id: row for call_id, rows in old.items() if (row := _completed(call_id, rows, stored[call_id]))}
    return refused, (_replace(connection, table, changed) if changed else None) or remark


def _is_of_spans(planned: CallPlan, call_id: str) -> bool:
    """Whether the call's row is a span's; a recorder's is never written."""
    return call_id in planned.calls.reports and planned.calls.reports[call_id].scope is not None


def _adds(call_id: str, rows: Sequence[tuple[CallReport, Row]]) -> bool:
    return any(report.record_id != call_id for report, _ in rows)


def _as_report(row: Row) -> tuple[CallReport, Row]:
    values = {**row, "metadata": row["metadata"] or {}}
    counts = {name: int(row[name] or 0) for name in TOKEN_COLUMNS}
    return row_report({**values, **counts}, "", "", ""), {**values, **counts}


def _row(call_id: str, rows: Sequence[tuple[CallReport, Row]]) -> dict[str, Any]:
    row = merge_rows(rows)
    total = max(int(row.get("total_tokens") or 0), row["input_tokens"] + row["output_tokens"])
    recorder_only = {
        "instance_id": None,
        "sequence": None,
        "delivery": None,
        "connection_ms": None,
        "retry_count": None,
    }
    return {**row, **(recorder_only if row.get("instance_id") else {}), "id": call_id, "total_tokens": total}


def _completed(call_id: str, rows: Sequence[tuple[CallReport, Row]], stored: Row) -> dict[str, Any] | None:
    """The row completed with the values of new reports; None if they add nothing."""
    report, old = _as_report(stored)
    row = _row(call_id, [(report, old), *rows])
    if all(row.get(name) == value for name, value in old.items()):
        return None
    counts_changed = any(row[name] != old[name] for name in ("model", *TOKEN_COLUMNS))
    if counts_changed and row.get("cost_source") not in {None, "provided"}:
        row |= {"cost": None, "cost_source": None}
    return row


def _insert(connection: Connection, table: Table, rows: Iterable[Row]) -> list[str]:
    """Insert rows; the reasons of those that were refused."""
    writer = BatchWriter(connection, table.schema, context=savepoint)
    refused = [reason for row in rows for _, reason in writer.add(row, row["id"])]
    return refused + [reason for _, reason in writer.flush()]


def _insert_all(connection: Connection, table: Table, rows: Iterable[Row]) -> None:
    if refused := _insert(connection, table, rows):
        raise _NotReplacedError("row_refused", refused[0], "")


class _NotReplacedError(DatabaseError):
    """A completed row was refused; the savepoint restores the old one."""


def _replace(connection: Connection, table: Table, rows: Mapping[str, Row]) -> str | None:
    """Store completed rows in place of the old ones, all or none; a warning if it isn't possible."""
    try:
        with savepoint(connection):
            execute_and_invalidate(connection, table.schema, _DELETE + "NULL", {"ids": list(rows)})
            _insert_all(connection, table, rows.values())
    except (SetupError, _NotReplacedError) as error:
        remark = f"{_NOT_COMPLETED} {error}"
        warn_once(remark)
        return remark
    return None


def _delete(connection: Connection, table: Table, ids: Iterable[str], instance: str) -> str | None:
    """Delete these rows, mark the rollups and explain the deletion in the loss ledger; a warning if not allowed."""
    parameters = {"ids": sorted(ids)}
    try:
        with savepoint(connection):
            execute_and_invalidate(connection, table.schema, _DELETE + instance, parameters, ledger_kind="removed")
        usage = stored_reports.table_name(table.schema, "token_usage")
        if not execute(connection, _REMAINING.replace("{table}", usage), parameters)[1]:
            return None
        why = "Row-level security or a trigger prevents it: CREATE POLICY for DELETE on token_usage."
    except SetupError as error:
        why = str(error)
    remark = f"{_COUNTED_TWICE} {why}"
    warn_once(remark)
    return remark
