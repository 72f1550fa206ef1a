"""POST /v1/traces as an ASGI app: spans of AI calls become rows of token_usage, other spans are accepted and dropped.

POST /v1/metrics and /v1/logs get the response to an empty export, because exporters with one endpoint also send those.
The dashboard mounts the app, and `tracker.traces:app` runs in any ASGI server.
Source: opentelemetry.io/docs/specs/otlp, "OTLP/HTTP".
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, closing, contextmanager
from dataclasses import dataclass, field
from typing import Any

from tracker.auth.attempt_limiter import MAX_REFUSALS, REFUSAL_WINDOW_S, SlidingWindow
from tracker.auth.route_access import is_authorized
from tracker.database.connect import Connection
from tracker.database.locate import locate
from tracker.database.schema import read_table
from tracker.errors import DatabaseError, SettingError, UsageError
from tracker.otlp import decode
from tracker.otlp.http import response_body
from tracker.otlp.http.http_error import RefusalError
from tracker.otlp.http.request_body import (
    MAX_BODY_BYTES,
    MAX_SPANS,
    MAX_UNPACKED_BYTES,
    Receive,
    check_json,
    check_protobuf,
    decompressed,
    read_body,
    too_many_spans,
)
from tracker.otlp.http.response_body import JSON, PROTOBUF
from tracker.otlp.http.unread_exports import UnreadCounter
from tracker.otlp.reading import span_reader
from tracker.otlp.reading.span_role import kind_of
from tracker.otlp.storing import span_store
from tracker.otlp.storing.call_plan import ReportedCall
from tracker.otlp.storing.call_report import row_report
from tracker.otlp.storing.span_tree import Key, Node, node_of
from tracker.settings import Settings, load

__all__ = ["MAX_BODY_BYTES", "MAX_SPANS", "MAX_UNPACKED_BYTES", "TracesApp", "app"]

log = logging.getLogger("tracker.traces")
Send = Callable[[dict[str, Any]], Awaitable[None]]
Borrow = Callable[[], AbstractContextManager[tuple[Connection, str | None]]]

MAX_CONCURRENT = 4
# Parsing takes about thirty times the bytes of a body, so large bodies are parsed one at a time.
_LARGE_BYTES = 2 * 2**20
_UNREAD_SIGNALS = {"/v1/metrics": "metrics", "/v1/logs": "logs"}


@dataclass(frozen=True, slots=True)
class _Accepted:
    """The response to an accepted export: the number of rejected spans, and the reason for the first one.

    If no span is rejected, the reason is a warning, as the specification defines it.
    """

    rejected: int = 0
    reason: str = ""


@dataclass(slots=True)
class _Export:
    """The content of an export: tree nodes, calls, invalid spans with the error, and unread scopes."""

    nodes: list[Node] = field(default_factory=list)
    calls: list[ReportedCall] = field(default_factory=list)
    invalid: dict[Key, str] = field(default_factory=dict)
    unread: Counter[str] = field(default_factory=Counter)


class TracesApp:
    """The routes as an ASGI app. `borrow` lends a connection and the schema to write to."""

    def __init__(self, borrow: Borrow, settings: Callable[[], Settings]) -> None:
        self._borrow = borrow
        self._settings = settings
        self._reports_in_memory = span_store.InMemoryReports()
        self._cleanup = span_store.ExpiredSpanCleanup()
        self._unread = UnreadCounter()
        self._active = 0
        self._has_large = False
        self._unauthorized = SlidingWindow(MAX_REFUSALS, REFUSAL_WINDOW_S)

    async def __call__(self, scope: Mapping[str, Any], receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
        kind = headers.get("content-type", "").partition(";")[0].strip().lower()
        try:
            accepted = await self._accept(scope, headers, kind, receive)
        except RefusalError as error:
            await _respond(send, error.status, response_body.failure(kind, str(error)), kind, error.headers)
        except Exception:
            log.exception("An OTLP export failed with an unexpected error.")
            await _respond(
                send,
                500,
                response_body.failure(kind, "Internal error. The log of the dashboard contains the traceback."),
                kind,
                {},
            )
        else:
            await _respond(send, 200, response_body.success(kind, accepted.rejected, accepted.reason), kind, {})

    async def _accept(
        self, scope: Mapping[str, Any], headers: Mapping[str, str], kind: str, receive: Receive
    ) -> _Accepted:
        signal = next((name for path, name in _UNREAD_SIGNALS.items() if scope["path"].endswith(path)), "traces")
        if scope["method"] != "POST":
            raise RefusalError(405, f"Send {signal} with POST.", allow="POST")
        self._check_token(scope)
        if kind not in {PROTOBUF, JSON}:
            raise RefusalError(415, f"Send {PROTOBUF} or {JSON}.")
        if self._active >= MAX_CONCURRENT:
            raise _busy()
        self._active += 1
        try:
            body = await read_body(headers, receive)
            if signal != "traces":
                return await asyncio.to_thread(self._count_export, signal)
            return await asyncio.to_thread(self._store, body, headers.get("content-encoding", ""), kind)
        finally:
            self._active -= 1

    def _check_token(self, scope: Mapping[str, Any]) -> None:
        if is_authorized(scope, self._settings()):
            return
        if wait_s := self._unauthorized.wait_s():
            raise RefusalError(429, "Too many requests without the right token.", retry_after=str(int(wait_s) + 1))
        self._unauthorized.add()
        raise RefusalError(
            401,
            "Send the value of TRACKER_DEBUG_TOKEN as Authorization: Bearer …. If it is not set, only requests from"
            " this machine are accepted, and none on a deployed platform.",
            www_authenticate="Bearer",
        )

    def _count_export(self, signal: str) -> _Accepted:
        self._unread.add_export(signal)
        self._write_unread()
        return _Accepted()

    def _write_unread(self) -> None:
        """Write the counts if they are due. The export is accepted even if writing fails."""
        if not self._unread.is_due:
            return
        try:
            with self._borrow() as (connection, schema):
                self._unread.write(connection, schema)
        except (DatabaseError, SettingError) as error:
            log.info("The unread exports were not counted. %s", error)

    def _store(self, body: bytes, encoding: str, kind: str) -> _Accepted:
        body = decompressed(body, encoding)
        with self._alone_if_large(body):
            export = _read(_decoded(body, kind), self._settings().otlp_properties)
            del body
            result = self._write(export) if export.nodes or export.calls else span_store.StoreResult([], set(), None)
        self._unread.add_spans(export.unread)
        self._write_unread()
        rejected = [reason for key, reason in export.invalid.items() if key not in result.repeating]
        rejected += result.refused
        return _Accepted(len(rejected), rejected[0] if rejected else result.remark or "")

    @contextmanager
    def _alone_if_large(self, body: bytes) -> Iterator[None]:
        large = len(body) > _LARGE_BYTES
        if large and self._has_large:
            raise _busy()
        self._has_large = large or self._has_large
        try:
            yield
        finally:
            if large:
                self._has_large = False

    def _write(self, export: _Export) -> span_store.StoreResult:
        try:
            with self._borrow() as (connection, schema):
                result = span_store.store_each(connection, schema, export.nodes, export.calls, self._reports_in_memory)
                self._cleanup.run(connection, schema)
                return result
        except (DatabaseError, SettingError) as error:
            log.warning("An export of %s spans wasn't stored. %s", len(export.nodes), error)
            reason = error.sentence if isinstance(error, DatabaseError) else "The database is not configured."
            raise RefusalError(503, f"{reason} Send it again later.", retry_after="5") from None


def _busy() -> RefusalError:
    return RefusalError(429, "Too many concurrent exports; send it again.", retry_after="1")


def _read(spans: list[decode.Span], property_names: Sequence[str] = ()) -> _Export:
    """Read the spans of an export. If a span is sent twice, the last one counts."""
    export = _Export()
    for key, span in {(span.trace_id, span.span_id): span for span in spans}.items():
        record_id = None
        try:
            reading = span_reader.read_span(span, property_names)
        except UsageError as error:
            export.invalid[key] = str(error)
        else:
            if reading.record is not None:
                row = reading.record.as_row()
                export.calls.append(ReportedCall(row_report(row, span.scope_name, *key), row))
                record_id = str(row["id"]) if reading.kind == "usage" else None
            elif reading.kind == "unread":
                export.unread[span.scope_name] += 1
        if node := node_of(span, record_id, kind_of(span)):
            export.nodes.append(node)
    return export


def _decoded(body: bytes, kind: str) -> list[decode.Span]:
    (check_protobuf if kind == PROTOBUF else check_json)(body)
    try:
        # Decoding one more than allowed detects that there are too many.
        spans = (decode.from_protobuf if kind == PROTOBUF else decode.from_json)(body, MAX_SPANS + 1)
    except SettingError as error:
        raise RefusalError(501, str(error)) from None
    except ValueError as error:
        raise RefusalError(400, str(error)) from None
    if len(spans) > MAX_SPANS:
        raise too_many_spans()
    return spans


async def _respond(send: Send, status: int, body: bytes, kind: str, headers: Mapping[str, str]) -> None:
    given = {
        "content-type": PROTOBUF if kind == PROTOBUF else JSON,
        "content-length": str(len(body)),
        "cache-control": "no-store",
        **headers,
    }
    await send(
        {
            "type": "http.response.start",
            "status": status,
            "headers": [(name.encode(), value.encode()) for name, value in given.items()],
        }
    )
    await send({"type": "http.response.body", "body": body})


@contextmanager
def _new_connection() -> Iterator[tuple[Connection, str | None]]:
    database = locate(load(strict=False))
    with closing(database.connect()) as connection:
        yield connection, read_table(connection, database.url.schema).schema


app = TracesApp(_new_connection, lambda: load(strict=False))
