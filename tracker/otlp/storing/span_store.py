"""Stores an export of spans: one row for each AI call, in any order and from any number of sources.

A parent span repeats the usage of its children, and two instrumentations report one call twice. Both may arrive in any
order, in another export, at another process. Therefore each export is planned in one database transaction, under locks
of its traces and calls. token_tracker_spans has the positions of all spans of the last day, token_tracker_span_calls
the calls that they reported. A row that repeats another one is deleted.
"""

from __future__ import annotations

import json
import math
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple, TypeVar
from uuid import UUID

from tracker.database.connect import Connection, execute
from tracker.database.schema import read_table
from tracker.errors import DatabaseError, RecordError, SetupError
from tracker.otlp.storing import stored_reports
from tracker.otlp.storing.call_locks import call_locks, locking_transaction, trace_locks
from tracker.otlp.storing.call_plan import CallPlan, ReportedCall, plan_calls
from tracker.otlp.storing.call_report import CallReport
from tracker.otlp.storing.call_rows import apply_plan
from tracker.otlp.storing.span_tree import Key, Kind, Node
from tracker.otlp.storing.stored_reports import SPAN_CALLS, table_name
from tracker.recording.bulk_insert import savepoint
from tracker.recording.record_log import warn_once

T = TypeVar("T")
# SQLSTATE classes of values that the database never accepts.
_DATA_ERRORS = ("22", "54")
# An export with more such spans is rejected in larger parts, so that it doesn't take a transaction for each of them.
_MAX_SEPARATED = 100

SPANS = "token_tracker_spans"
_KEPT = "1 day"
_NEAR_S = 600.0
_CLEANUP_INTERVAL_S = 600
_MAX_DELETED_ROWS = 100_000
_WARNINGS = {
    SPANS: "A span and its parent may both be counted if different processes receive them. {why}",
    SPAN_CALLS: "An AI call that two instrumentations report to different processes may count twice. {why}",
}
_NODE = "trace_id uuid, span_id text, parent_id text, record_id uuid"
_NAMES = "trace_id, span_id, parent_id, record_id"
# A span's kind is stored after its parent's id, so that the table of earlier versions keeps its columns.
_KIND = "/"
# SQLAlchemy registers a type for uuid on its connections, psycopg2 does not; as text, both read the same.
_READ = "trace_id::text, span_id, parent_id, record_id::text"


class StoreResult(NamedTuple):
    """The outcome of an export: the reasons of refused rows, the spans that repeat others, and a warning."""

    refused: list[str]
    repeating: set[Key]
    remark: str | None


class InMemoryReports:
    """The spans that this process received; used if the tables of Token Tracker can't be used."""

    _KEPT = 100_000

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._nodes: OrderedDict[Key, Node] = OrderedDict()
        self._reports: OrderedDict[str, CallReport] = OrderedDict()

    def exchange(self, nodes: Sequence[Node], traces: set[str]) -> list[Node]:
        """Store these nodes; return the earlier nodes of their traces."""
        with self._lock:
            known = [node for node in self._nodes.values() if node.trace_id in traces]
            for node in nodes:
                self._nodes.setdefault(node.key, node)
            _evict_oldest(self._nodes, self._KEPT)
        return known

    def reports(self, near: Sequence[CallReport], traces: set[str]) -> list[CallReport]:
        """The reports of these traces, and those that end near these reports."""
        first = min((one.started_s for one in near), default=math.inf) - _NEAR_S
        last = max((one.ended_s for one in near), default=-math.inf) + _NEAR_S
        with self._lock:
            return [one for one in self._reports.values() if one.trace_id in traces or first <= one.ended_s <= last]

    def save(self, reports: Iterable[CallReport]) -> None:
        """Store new and changed reports."""
        with self._lock:
            self._reports.update((report.record_id, report) for report in reports)
            _evict_oldest(self._reports, self._KEPT)


def _evict_oldest(entries: OrderedDict[Any, Any], count: int) -> None:
    while len(entries) > count:
        entries.popitem(last=False)


def store_each(
    connection: Connection,
    schema: str | None,
    nodes: Sequence[Node],
    calls: Sequence[ReportedCall],
    memory: InMemoryReports,
) -> StoreResult:
    """Like `store`, but a span with a value that the database never accepts is rejected alone.

    Raises `DatabaseError` for all other errors: a later attempt may succeed.
    """
    total = StoreResult([], set(), None)
    parts = [(list(nodes), list(calls))]
    while parts:
        part_nodes, part_calls = parts.pop()
        try:
            result = store(connection, schema, part_nodes, part_calls, memory)
        except RecordError as error:
            if not (error.sqlstate or "").startswith(_DATA_ERRORS):
                raise
            keys = sorted({node.key for node in part_nodes} | {call.key for call in part_calls})
            if len(keys) > 1 and len(total.refused) < _MAX_SEPARATED:
                parts += _halves(part_nodes, part_calls, set(keys[: len(keys) // 2]))
                continue
            result = StoreResult([error.sentence] * len(keys), set(), None)
        total = StoreResult(
            total.refused + result.refused, total.repeating | result.repeating, total.remark or result.remark
        )
    return total


def _halves(
    nodes: list[Node], calls: list[ReportedCall], keys: set[Key]
) -> list[tuple[list[Node], list[ReportedCall]]]:
    """The spans with these keys, and all others."""
    return [
        (
            [node for node in nodes if (node.key in keys) is selected],
            [call for call in calls if (call.key in keys) is selected],
        )
        for selected in (True, False)
    ]


def store(
    connection: Connection,
    schema: str | None,
    nodes: Sequence[Node],
    calls: Sequence[ReportedCall],
    memory: InMemoryReports,
) -> StoreResult:
    """Store one row for each call that no row counts yet, and delete those rows that repeat others.

    `nodes` are the export's spans, `calls` the reports of those with usage or a failure. Raises `DatabaseError`;
    nothing is stored then.
    """
    traces = {node.trace_id for node in nodes} | {call.report.trace_id for call in calls}
    reports = [call.report for call in calls]
    with locking_transaction(connection, trace_locks(schema, traces) | call_locks(schema, reports)):
        table = read_table(connection, schema)
        known_nodes, remark = _with_fallback(
            connection,
            SPANS,
            lambda: _exchange(connection, table_name(schema, SPANS), nodes, traces),
            lambda: memory.exchange(nodes, traces),
        )
        recorded = stored_reports.recorder_rows(connection, table, reports) if reports else []
        known, unread_remark = _with_fallback(
            connection,
            SPAN_CALLS,
            lambda: stored_reports.span_calls(
                connection, schema, reports, traces=traces, call_ids=[one.record_id for one in recorded]
            ),
            list[CallReport],
        )
        planned = plan_calls([*known_nodes, *nodes], [*memory.reports(reports, traces), *known, *recorded], calls)
        refused, apply_remark = apply_plan(connection, table, planned)
        save_remark = _save(connection, schema, planned, memory) if planned.changed else None
    return StoreResult(refused, planned.repeating, remark or unread_remark or save_remark or apply_remark)


def _save(connection: Connection, schema: str | None, planned: CallPlan, memory: InMemoryReports) -> str | None:
    """Store the reports in the database; if their table can't be used, store them in memory and return a warning."""
    changed = planned.changed.values()
    _, remark = _with_fallback(
        connection, SPAN_CALLS, lambda: stored_reports.save(connection, schema, changed), lambda: memory.save(changed)
    )
    return remark


def _with_fallback(
    connection: Connection, table: str, use_database: Callable[[], T], use_memory: Callable[[], T]
) -> tuple[T, str | None]:
    """The result of the database; if its table can't be used, the result of this process, and a warning."""
    try:
        with savepoint(connection):
            return use_database(), None
    except SetupError as error:
        why = f"{table} isn't there: token-tracker migrate." if error.code == "table_missing" else str(error)
        remark = _WARNINGS[table].format(why=why)
        warn_once(remark)
        return use_memory(), remark


def _exchange(connection: Connection, spans: str, nodes: Sequence[Node], traces: Iterable[str]) -> list[Node]:
    _, rows = execute(
        connection,
        f"WITH added AS (INSERT INTO {spans} ({_NAMES})"  # noqa: S608  our own names
        f" SELECT {_NAMES} FROM json_to_recordset(%(nodes)s) AS node ({_NODE}) ON CONFLICT DO NOTHING)"
        f" SELECT {_READ} FROM {spans} WHERE trace_id = ANY (CAST(%(traces)s AS uuid[]))",
        {"nodes": json.dumps([_document(node) for node in nodes]), "traces": sorted(traces)},
    )
    return [_node(*row) for row in rows]


def _document(node: Node) -> dict[str, Any]:
    parent = f"{node.parent_id}{_KIND}{node.kind}" if node.kind else node.parent_id
    return {"trace_id": node.trace_id, "span_id": node.span_id, "parent_id": parent, "record_id": node.record_id}


def _node(trace_id: str, span_id: str, parent: str, record_id: str | None) -> Node:
    parent_id, _, kind = parent.partition(_KIND)
    node_kind: Kind = "call" if kind == "call" else "boundary" if kind == "boundary" else ""
    return Node(UUID(trace_id).hex, span_id, parent_id, record_id, node_kind)


class ExpiredSpanCleanup:
    """Deletes spans and reports older than a day, every ten minutes while exports arrive."""

    def __init__(self) -> None:
        self._next = 0.0

    def run(self, connection: Connection, schema: str | None) -> None:
        """Delete expired rows if it is due. Never raises; a failed deletion is repeated later."""
        if (now := time.monotonic()) < self._next:
            return
        self._next = now + _CLEANUP_INTERVAL_S
        for name in (SPANS, SPAN_CALLS):
            table = table_name(schema, name)
            try:
                execute(
                    connection,
                    f"DELETE FROM {table} WHERE ctid = ANY (ARRAY(SELECT ctid FROM {table}"  # noqa: S608  our own name
                    f" WHERE seen_at < now() - interval '{_KEPT}' LIMIT {_MAX_DELETED_ROWS}))",
                )
            except DatabaseError as error:
                warn_once(f"Spans older than {_KEPT} can't be deleted, so {name} grows. {error}")
