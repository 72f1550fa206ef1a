"""Reads and writes reports of AI calls: of spans in token_tracker_span_calls, of recorders in token_usage."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

from tracker.database.connect import Connection, execute
from tracker.database.sample_ids import IS_SAMPLE_ID
from tracker.database.schema import COLUMN_NAMES, DEFAULT_SCHEMA, Table, literal, quote
from tracker.otlp.storing.call_report import CallReport
from tracker.usage import TOKEN_COLUMNS

SPAN_CALLS = "token_tracker_span_calls"
# Reports of one call end at nearly the same time; an outer report ends at most this much later.
_LATER_S = 600.0
_GAP_S = 30.0
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_YEARS_S = (datetime(1900, 1, 1, tzinfo=UTC).timestamp(), datetime(9000, 1, 1, tzinfo=UTC).timestamp())
_TYPES = {
    "record_id": "uuid",
    "trace_id": "uuid",
    "span_id": "text",
    "scope": "text",
    "service": "text",
    "model": "text",
    "request_model": "text",
    "response_id": "text",
    "started_at": "float8",
    "ended_at": "float8",
    **dict.fromkeys(TOKEN_COLUMNS, "integer"),
    "succeeded": "boolean",
    "has_problem": "boolean",
    "call_id": "uuid",
}
_NAMES = ", ".join(_TYPES)
_READ = ", ".join(
    {
        "uuid": f"{name}::text",
        "float8": f"extract(epoch FROM {name})::float8",
    }.get(type_, name)
    for name, type_ in _TYPES.items()
)
_WRITTEN = ", ".join(f"to_timestamp({name})" if type_ == "float8" else name for name, type_ in _TYPES.items())


def table_name(schema: str | None, name: str = SPAN_CALLS) -> str:
    """A table's full name: behind a pooler the search_path may be another client's."""
    return f"{quote(schema or DEFAULT_SCHEMA)}.{name}"


def save(connection: Connection, schema: str | None, reports: Iterable[CallReport]) -> None:
    """Store new reports and the changed `call_id` of known ones. Raises `DatabaseError`."""
    declared = ", ".join(f"{name} {type_}" for name, type_ in _TYPES.items())
    execute(
        connection,
        f"INSERT INTO {table_name(schema)} ({_NAMES})"  # noqa: S608  our own names
        f" SELECT {_WRITTEN} FROM json_to_recordset(%s) AS report ({declared})"
        " ON CONFLICT (record_id) DO UPDATE SET call_id = excluded.call_id",
        (json.dumps([_document(report) for report in reports]),),
    )


def _document(report: CallReport) -> dict[str, Any]:
    values = report._asdict()
    return {
        **{name: values[name] for name in _TYPES if name in values},
        **dict(zip(TOKEN_COLUMNS, report.counts, strict=True)),
        "started_at": report.started_s,
        "ended_at": report.ended_s,
    }


def span_calls(
    connection: Connection,
    schema: str | None,
    near: Iterable[CallReport],
    *,
    traces: Iterable[str] = (),
    call_ids: Iterable[str] = (),
) -> list[CallReport]:
    """The span reports that can be of the same calls as these reports, and those of these traces and calls.

    Whole calls are read: with a report, all others of its call. Raises `DatabaseError`.
    """
    table = table_name(schema)
    starts, ends = _bounds(near)
    _, rows = execute(
        connection,
        f"WITH near AS (SELECT report.record_id, report.call_id"  # noqa: S608  our own names
        " FROM unnest(CAST(%(starts)s AS float8[]), CAST(%(ends)s AS float8[])) AS given (first, last)"
        f" JOIN {table} AS report"
        " ON report.ended_at >= to_timestamp(given.first) AND report.ended_at <= to_timestamp(given.last)"
        " WHERE report.response_id = ANY (%(response_ids)s::text[])"
        " OR report.input_tokens = ANY (%(inputs)s::int[]) OR report.output_tokens = ANY (%(outputs)s::int[])"
        " OR (NOT report.succeeded AND %(failures)s) OR %(without_usage)s)"
        f" SELECT {_READ} FROM {table} WHERE trace_id = ANY (CAST(%(traces)s AS uuid[]))"
        " OR record_id = ANY (ARRAY(SELECT record_id FROM near))"
        " OR call_id = ANY (ARRAY(SELECT call_id FROM near) || CAST(%(call_ids)s AS uuid[]))",
        {
            "starts": starts,
            "ends": ends,
            "traces": sorted(traces),
            "call_ids": sorted(call_ids),
            **_features(near),
        },
    )
    return [_report(row) for row in rows]


def _report(row: Sequence[Any]) -> CallReport:
    values = dict(zip(_TYPES, row, strict=True))
    return CallReport(
        record_id=values["record_id"],
        scope=values["scope"],
        model=values["model"],
        started_s=values["started_at"],
        ended_s=values["ended_at"],
        counts=tuple(values[name] for name in TOKEN_COLUMNS),
        call_id=values["call_id"],
        trace_id=UUID(values["trace_id"]).hex,
        span_id=values["span_id"],
        service=values["service"],
        request_model=values["request_model"],
        response_id=values["response_id"],
        succeeded=values["succeeded"],
        has_problem=values["has_problem"],
    )


def _features(near: Iterable[CallReport]) -> dict[str, Any]:
    reports = list(near)
    return {
        "response_ids": sorted({one.response_id for one in reports if one.response_id}),
        "inputs": sorted({one.counts[0] for one in reports if one.counts[0]}),
        "outputs": sorted({one.counts[1] for one in reports if one.counts[1]}),
        "failures": any(not one.succeeded for one in reports),
        "without_usage": any(one.succeeded and not one.has_usage for one in reports),
    }


def _bounds(reports: Iterable[CallReport]) -> tuple[list[float], list[float]]:
    """The time ranges in which reports of the same calls can end, without overlaps."""
    starts: list[float] = []
    ends: list[float] = []
    for one in sorted(reports, key=lambda report: report.started_s):
        first, last = one.started_s - _GAP_S, one.ended_s + _LATER_S
        if not (_YEARS_S[0] < first and last < _YEARS_S[1]):
            continue
        if ends and first <= ends[-1]:
            ends[-1] = max(ends[-1], last)
        else:
            starts.append(first)
            ends.append(last)
    return starts, ends


# --- rows that recorders wrote ------------------------------------------------------------------------------------


def created_at_sql(table: Table) -> str:
    """`created_at` with a zone, as the index on it is written."""
    zone = table.created_at_zone
    return f"(calls.created_at AT TIME ZONE {literal(zone)})" if zone else "calls.created_at"


def recorder_columns(table: Table) -> str:
    """The select list from which `recorder_report` reads."""
    counts = ", ".join(f"calls.{name}::float8" for name in TOKEN_COLUMNS)
    texts = ", ".join(f"calls.metadata ->> '{name}'" for name in ("request_model", "response_id", "usage_problem"))
    return (
        f"calls.id::text, extract(epoch FROM {created_at_sql(table)})::float8, calls.processing_time::float8,"
        f" calls.model, calls.success, {texts}, {counts}"
    )


def recorder_report(row: Sequence[Any]) -> CallReport:
    """A recorder's row as a report; missing and impossible values count as unknown."""
    record_id, ended_s, duration_ms, model, success, request_model, response_id, problem, *counts = row
    known_ms = duration_ms if duration_ms is not None and math.isfinite(duration_ms) and duration_ms > 0 else 0.0
    return CallReport(
        record_id=record_id,
        scope=None,
        model=model or "unknown",
        started_s=ended_s - known_ms / 1000,
        ended_s=ended_s,
        counts=tuple(int(count) if count is not None and math.isfinite(count) else 0 for count in counts),
        call_id=record_id,
        request_model=request_model,
        response_id=response_id,
        succeeded=success is not False,
        has_problem=problem is not None,
    )


def recorder_rows(connection: Connection, table: Table, near: Sequence[CallReport]) -> list[CallReport]:
    """The recorders' rows that can be of the same calls as these reports, read by the index on created_at.

    Raises `DatabaseError`.
    """
    starts, ends = _bounds(near)
    if not starts:
        return []
    created_at = created_at_sql(table)
    _, rows = execute(
        connection,
        f"SELECT near.* FROM unnest(CAST(%(starts)s AS float8[]), CAST(%(ends)s AS float8[])) AS given (first, last)"  # noqa: S608  our own names
        # OFFSET makes the planner evaluate each range separately; a join could read the whole table.
        f" CROSS JOIN LATERAL (SELECT {recorder_columns(table)} FROM {table_name(table.schema, 'token_usage')} AS calls"
        f" WHERE {created_at} >= to_timestamp(given.first) AND {created_at} <= to_timestamp(given.last)"
        f" AND calls.instance_id IS NOT NULL AND NOT {IS_SAMPLE_ID}"
        " AND (calls.metadata ->> 'response_id' = ANY (%(response_ids)s::text[])"
        " OR calls.input_tokens = ANY (%(inputs)s::int[]) OR calls.output_tokens = ANY (%(outputs)s::int[])"
        " OR (calls.success IS FALSE AND %(failures)s) OR coalesce(calls.total_tokens, 0) = 0) OFFSET 0) AS near",
        {"starts": starts, "ends": ends, **_features(near)},
    )
    return [recorder_report(row) for row in rows]


def stored_rows(connection: Connection, table: Table, ids: Iterable[str]) -> dict[str, Mapping[str, Any]]:
    """Whole rows by id, in the form of `TokenUsage.as_row`. Raises `DatabaseError`."""
    _, rows = execute(
        connection,
        f"SELECT calls.id::text, to_json(calls), extract(epoch FROM {created_at_sql(table)})::text"  # noqa: S608
        f" FROM {table_name(table.schema, 'token_usage')} AS calls WHERE calls.id = ANY (CAST(%s AS uuid[]))",
        (sorted(ids),),
    )
    return {record_id: _row(document, seconds) for record_id, document, seconds in rows}


def _row(document: Mapping[str, Any], seconds: str) -> dict[str, Any]:
    row = {name: document[name] for name in COLUMN_NAMES if name in document and name != "recorded_at"}
    return {**row, "created_at": _EPOCH + timedelta(microseconds=int(Decimal(seconds) * 1_000_000))}
