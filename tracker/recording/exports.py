"""An export of spans → its rows: what each AI call used once, whatever order its trace's spans come in.

A parent repeats what its children used, so a span's row stands only while no span below it has usage. Children may come
before their parents or after them, in another export, to another process. So it is decided in the database, in the
transaction that stores the rows and under a lock of the trace: the places of all spans of the last day lie in
token_tracker_spans, and a row that turns out to be a parent's is taken back.
"""

from __future__ import annotations

import json
import threading
import time
import zlib
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple
from uuid import UUID

from tracker.database.driver import Connection, execute
from tracker.database.table import DEFAULT_SCHEMA, quote
from tracker.errors import DatabaseError, SetupError
from tracker.recording.batch import BatchWriter, savepoint
from tracker.recording.log import warn_once
from tracker.rollups.touched import change_and_mark
from tracker.sources.tree import Key, Node, above

SPANS = "token_tracker_spans"
_STRIPES = 64
_KEPT = "1 day"
_FORGET_EVERY_S = 600
_FORGOTTEN_AT_ONCE = 100_000
# A function that is frozen in the middle must not keep the lock.
_BEGIN = (
    "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE; SET LOCAL lock_timeout = '3s';"
    " SET LOCAL statement_timeout = '15s'; SET LOCAL idle_in_transaction_session_timeout = '15s';"
    " SELECT pg_advisory_xact_lock(key) FROM unnest(%(locks)s::bigint[]) AS key"
)
_NODE = "trace_id uuid, span_id text, parent_id text, record_id uuid"
_DELETE = "DELETE FROM {table} AS calls WHERE calls.id = ANY (CAST(%(ids)s AS uuid[]))"
_LEFT = "SELECT 1 FROM {table} AS calls WHERE calls.id = ANY (CAST(%(ids)s AS uuid[])) LIMIT 1"
_NAMES = "trace_id, span_id, parent_id, record_id"


class Result(NamedTuple):
    """What became of an export: why rows were refused, which spans repeat others, and what a person should know."""

    refused: list[str]
    repeating: set[Key]
    remark: str | None


class Memory:
    """The places of spans as one process saw them: what there is where the database's can't be used."""

    _KEPT = 100_000

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._nodes: OrderedDict[Key, Node] = OrderedDict()

    def exchange(self, nodes: Iterable[Node]) -> list[Node]:
        """Take these in; what was known of their traces before."""
        with self._lock:
            traces = {node.trace_id for node in nodes}
            known = [node for node in self._nodes.values() if node.trace_id in traces]
            for node in nodes:
                self._nodes.setdefault(node.key, node)
            while len(self._nodes) > self._KEPT:
                self._nodes.popitem(last=False)
        return known


def store(
    connection: Connection,
    schema: str | None,
    nodes: Sequence[Node],
    rows: Mapping[Key, Mapping[str, Any]],
    memory: Memory,
) -> Result:
    """Store the rows of those spans that repeat no other's usage, and take back those that turn out to.

    `nodes` are the export's spans, `rows` what those with usage would store. Raises `DatabaseError`; nothing is stored
    then.
    """
    writer = BatchWriter(connection, schema, step=savepoint)
    with _locked(connection, schema, nodes):
        known, remark = _exchange(connection, schema, nodes, memory)
        repeating = above([*known, *nodes])
        before = above(known)
        wrong = [n.record_id for n in known if n.record_id and n.key in repeating and n.key not in before]
        refused = [reason for key, row in rows.items() if key not in repeating for _, reason in writer.add(row, key)]
        refused += [reason for _, reason in writer.flush()]
        if wrong:
            remark = _take_back(connection, schema, wrong) or remark
    return Result(refused, repeating, remark)


@contextmanager
def _locked(connection: Connection, schema: str | None, nodes: Iterable[Node]) -> Iterator[None]:
    """A transaction beside which no other looks at these traces; it holds behind a transaction pooler too."""
    stripes = {zlib.crc32(node.trace_id.encode()) % _STRIPES for node in nodes}
    place = schema or DEFAULT_SCHEMA
    locks = sorted(0x74726565 << 32 | zlib.crc32(f"{place}/{stripe}".encode()) for stripe in stripes)
    try:
        execute(connection, _BEGIN, {"locks": locks})
        yield
        execute(connection, "COMMIT")
    except BaseException:
        if not connection.closed:
            execute(connection, "ROLLBACK")
        raise


def _exchange(
    connection: Connection, schema: str | None, nodes: Sequence[Node], memory: Memory
) -> tuple[list[Node], str | None]:
    """Take the spans' places in; what was known of their traces before."""
    try:
        with savepoint(connection):
            return _exchange_stored(connection, _spans(schema), nodes), None
    except SetupError as error:
        why = f"{SPANS} isn't there: token-tracker migrate." if error.code == "table_missing" else str(error)
        remark = f"A span and the one above it may both count where different processes take them in. {why}"
        warn_once(remark)
        return memory.exchange(nodes), remark


def _exchange_stored(connection: Connection, spans: str, nodes: Sequence[Node]) -> list[Node]:
    _, rows = execute(
        connection,
        f"WITH added AS (INSERT INTO {spans} ({_NAMES})"  # noqa: S608  our own names
        f" SELECT {_NAMES} FROM json_to_recordset(%(nodes)s) AS node ({_NODE}) ON CONFLICT DO NOTHING)"
        f" SELECT {_NAMES} FROM {spans} WHERE trace_id = ANY (CAST(%(traces)s AS uuid[]))",
        {
            "nodes": json.dumps([node._asdict() for node in nodes]),
            "traces": sorted({node.trace_id for node in nodes}),
        },
    )
    return [Node(UUID(trace_id).hex, span_id, parent_id, record) for trace_id, span_id, parent_id, record in rows]


def _take_back(connection: Connection, schema: str | None, ids: Sequence[str]) -> str | None:
    """Delete these rows, as the rollups and the ledger know a deletion; a sentence where that isn't allowed."""
    given = {"ids": list(ids)}
    try:
        with savepoint(connection):
            change_and_mark(connection, schema, _DELETE, given, explained_as="removed")
        usage = f"{quote(schema or DEFAULT_SCHEMA)}.token_usage"
        if not execute(connection, _LEFT.replace("{table}", usage), given)[1]:
            return None
        why = "Row-level security or a trigger keeps it: CREATE POLICY for DELETE on token_usage."
    except SetupError as error:
        why = str(error)
    remark = f"A span that came before the one below it stays counted, so that its tokens count twice. {why}"
    warn_once(remark)
    return remark


class Forgetting:
    """Forgets spans after a day, now and then, beside the exports: no cron job is needed."""

    def __init__(self) -> None:
        self._next = 0.0

    def run(self, connection: Connection, schema: str | None) -> None:
        """Never raises: what can't be done now is done later."""
        if (now := time.monotonic()) < self._next:
            return
        self._next = now + _FORGET_EVERY_S
        spans = _spans(schema)
        try:
            execute(
                connection,
                f"DELETE FROM {spans} WHERE ctid = ANY (ARRAY(SELECT ctid FROM {spans}"  # noqa: S608  our own name
                f" WHERE seen_at < now() - interval '{_KEPT}' LIMIT {_FORGOTTEN_AT_ONCE}))",
            )
        except DatabaseError as error:
            warn_once(f"Spans older than {_KEPT} aren't forgotten, so {SPANS} grows. {error}")


def _spans(schema: str | None) -> str:
    return f"{quote(schema or DEFAULT_SCHEMA)}.{SPANS}"
