"""Stores an export of spans: one row for each AI call, in whatever order and from however many sources it is reported.

A parent span repeats what its children used, and two instrumentations report one call twice. Both may arrive in any
order, in another export, at another process. Therefore each export is decided in one database transaction, under locks
of its traces and calls: token_tracker_spans has the positions of all spans of the last day, token_tracker_span_calls
the calls that they reported, and a row that turns out to repeat another one is deleted.
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
from tracker.otlp.storing.call_locks import call_locks, trace_locks, transaction
from tracker.otlp.storing.call_plan import Call, Plan, plan
from tracker.otlp.storing.call_report import CallReport
from tracker.otlp.storing.call_rows import apply
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
_FORGET_EVERY_S = 600
_FORGOTTEN_AT_ONCE = 100_000
_WARNINGS = {
    SPANS: "A span and its parent may both be counted if different processes receive them. {why}",
    SPAN_CALLS: "An AI call that two instrumentations report to different processes may count twice. {why}",
}
_NODE = "trace_id uuid, span_id text, parent_id text, record_id uuid"
_NAMES = "trace_id, span_id, parent_id, record_id"
# A span's kind is stored after its parent's id, so that the table of earlier versions keeps its columns.
_KIND = "/"
# SQLAlchemy registers a type for uuid on its connections, psycopg2 does not: as text they read the same.
_READ = "trace_id::text, span_id, parent_id, record_id::text"


class Result(NamedTuple):
    """The outcome of an export: why rows were refused, which spans repeat others, and a warning for a person."""

    refused: list[str]
    repeating: set[Key]
    remark: str | None


class Memory:
    """What one process received: used if the tables of Token Tracker can't be used."""

    _KEPT = 100_000

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._nodes: OrderedDict[Key, Node] = OrderedDict()
        self._reports: OrderedDict[str, CallReport] = OrderedDict()

    def exchange(self, nodes: Sequence[Node], traces: set[str]) -> list[Node]:
        """Store these nodes; return what was known of their traces before."""
        with self._lock:
            known = [node for node in self._nodes.values() if node.trace_id in traces]
            for node in nodes:
                self._nodes.setdefault(node.key, node)
            _keep(self._nodes, self._KEPT)
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
            _keep(self._reports, self._KEPT)


def _keep(entries: OrderedDict[Any, Any], count: int) -> None:
    while len(entries) > count:
        entries.popitem(last=False)


def store_each(
    connection: Connection, schema: str | None, nodes: Sequence[Node], calls: Sequence[Call], memory: Memory
) -> Result:
    """Like `store`, but a span with a value that the database never accepts is rejected alone.

    Raises `DatabaseError` for all other errors: a later attempt may succeed.
    """
    total = Result([], set(), None)
    parts = [(list(nodes), list(calls))]
    while parts:
        part_nodes, part_calls = parts.pop()
        try:
            found = store(connection, schema, part_nodes, part_calls, memory)
        except RecordError as error:
            if not (error.sqlstate or "").startswith(_DATA_ERRORS):
                raise
            keys = sorted({node.key for node in part_nodes} | {call.key for call in part_calls})
            if len(keys) > 1 and len(total.refused) < _MAX_SEPARATED:
                parts += _halves(part_nodes, part_calls, set(keys[: len(keys) // 2]))
                continue
            found = Result([error.sentence] * len(keys), set(), None)
        total = Result(total.refused + found.refused, total.repeating | found.repeating, total.remark or found.remark)
    return total


def _halves(nodes: list[Node], calls: list[Call], keys: set[Key]) -> list[tuple[list[Node], list[Call]]]:
    """The spans with these keys, and the others."""
    return [
        (
            [node for node in nodes if (node.key in keys) is chosen],
            [call for call in calls if (call.key in keys) is chosen],
        )
        for chosen in (True, False)
    ]


def store(
    connection: Connection, schema: str | None, nodes: Sequence[Node], calls: Sequence[Call], memory: Memory
) -> Result:
    """Store one row for each call that no row counts yet, and delete those rows that repeat others.

    `nodes` are the export's spans, `calls` what those with usage or a failure report. Raises `DatabaseError`; nothing
    is stored then.
    """
    traces = {node.trace_id for node in nodes} | {call.report.trace_id for call in calls}
    reports = [call.report for call in calls]
    with transaction(connection, trace_locks(schema, traces) | call_locks(schema, reports)):
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
        planned = plan([*known_nodes, *nodes], [*memory.reports(reports, traces), *known, *recorded], calls)
        refused, apply_remark = apply(connection, table, planned)
        save_remark = _save(connection, schema, planned, memory) if planned.changed else None
    return Result(refused, planned.repeating, remark or unread_remark or save_remark or apply_remark)


def _save(connection: Connection, schema: str | None, planned: Plan, memory: Memory) -> str | None:
    """Store the reports in the database, or in this process if their table can't be used; a warning then."""
    changed = planned.changed.values()
    _, remark = _with_fallback(
        connection, SPAN_CALLS, lambda: stored_reports.save(connection, schema, changed), lambda: memory.save(changed)
    )
    return remark


def _with_fallback(
    connection: Connection, table: str, ask: Callable[[], T], remember: Callable[[], T]
) -> tuple[T, str | None]:
    """The answer of the database; if its table can't be used, of this process, and a warning."""
    try:
        with savepoint(connection):
            return ask(), None
    except SetupError as error:
        why = f"{table} isn't there: token-tracker migrate." if error.code == "table_missing" else str(error)
        remark = _WARNINGS[table].format(why=why)
        warn_once(remark)
        return remember(), remark


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
    known: Kind = "call" if kind == "call" else "boundary" if kind == "boundary" else ""
    return Node(UUID(trace_id).hex, span_id, parent_id, record_id, known)


class ExpiredSpanCleanup:
    """Deletes what is older than a day, every ten minutes with an export: no cron job is needed."""

    def __init__(self) -> None:
        self._next = 0.0

    def run(self, connection: Connection, schema: str | None) -> None:
        """Never raises: what can't be deleted now is deleted later."""
        if (now := time.monotonic()) < self._next:
            return
        self._next = now + _FORGET_EVERY_S
        for name in (SPANS, SPAN_CALLS):
            table = table_name(schema, name)
            try:
                execute(
                    connection,
                    f"DELETE FROM {table} WHERE ctid = ANY (ARRAY(SELECT ctid FROM {table}"  # noqa: S608  our own name
                    f" WHERE seen_at < now() - interval '{_KEPT}' LIMIT {_FORGOTTEN_AT_ONCE}))",
                )
            except DatabaseError as error:
                warn_once(f"Spans older than {_KEPT} aren't forgotten, so {name} grows. {error}")
