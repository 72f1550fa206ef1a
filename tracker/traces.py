"""POST /v1/traces: OpenTelemetry's way in. Spans of AI calls become rows; any other span is accepted and let go.

An ASGI app of its own: the dashboard mounts it, and `tracker.traces:app` runs wherever an ASGI app does.
Source: opentelemetry.io/docs/specs/otlp, "OTLP/HTTP".
"""

from __future__ import annotations

import asyncio
import json
import logging
import zlib
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import AbstractContextManager, closing, contextmanager
from dataclasses import dataclass
from typing import Any

from tracker.access.attempts import REFUSALS, WINDOW_S, Window
from tracker.database.driver import Connection
from tracker.database.locate import locate
from tracker.database.table import read_table
from tracker.diagnostics.access import allowed
from tracker.errors import DatabaseError, SettingError, UsageError
from tracker.recording import exports
from tracker.settings import Settings, load
from tracker.sources import otlp, spans
from tracker.sources.tree import Key, Node

log = logging.getLogger("tracker.traces")
Send = Callable[[dict[str, Any]], Awaitable[None]]
Receive = Callable[[], Awaitable[Mapping[str, Any]]]
Borrow = Callable[[], AbstractContextManager[tuple[Connection, str | None]]]

# The limit that the specification recommends, before and after unpacking: a smaller one would lose batches for good.
MAX_BODY_BYTES = MAX_UNPACKED_BYTES = 20 * 2**20
MAX_AT_ONCE = 4
# zlib's window bits for each; the specification asks for gzip, Python's exporter can send deflate too.
_PACKED = {"gzip": 31, "deflate": 15}
_PROTOBUF, _JSON = "application/x-protobuf", "application/json"


class _Refused(Exception):  # noqa: N818  an answer, not a mistake of ours
    """The answer to a request that can't be taken: its status, one sentence, and the headers that belong to it."""

    def __init__(self, status: int, sentence: str, **headers: str) -> None:
        super().__init__(sentence)
        self.status = status
        self.headers = {name.replace("_", "-"): value for name, value in headers.items()}


@dataclass(frozen=True, slots=True)
class _Taken:
    """What became of an export's spans: how many of them couldn't be stored, and why the first couldn't.

    With none of them a reason is a warning, as the specification has it.
    """

    rejected: int = 0
    reason: str = ""


class TracesApp:
    """The route as an ASGI app. `borrow` lends a connection and the schema to write to."""

    def __init__(self, borrow: Borrow, settings: Callable[[], Settings]) -> None:
        self._borrow = borrow
        self._settings = settings
        self._memory = exports.Memory()
        self._forgetting = exports.Forgetting()
        self._at_once = 0
        self._refused = Window(REFUSALS, WINDOW_S)

    async def __call__(self, scope: Mapping[str, Any], receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
        kind = headers.get("content-type", "").partition(";")[0].strip().lower()
        try:
            taken = await self._take(scope, headers, kind, receive)
        except _Refused as refused:
            await _answer(send, refused.status, _status(kind, str(refused)), kind, refused.headers)
        except Exception:
            log.exception("An export of spans met a mistake of ours.")
            await _answer(send, 500, _status(kind, "Something here went wrong; the log says what."), kind, {})
        else:
            await _answer(send, 200, _success(kind, taken), kind, {})

    async def _take(self, scope: Mapping[str, Any], headers: Mapping[str, str], kind: str, receive: Receive) -> _Taken:
        if scope["method"] != "POST":
            raise _Refused(405, "Send traces with POST.", allow="POST")
        if not allowed(scope, self._settings()):
            if wait_s := self._refused.wait_s():
                raise _Refused(429, "Too many requests without the right token.", retry_after=str(int(wait_s) + 1))
            self._refused.add()
            raise _Refused(
                401,
                "Send the token of TRACKER_DEBUG_TOKEN as Authorization: Bearer …; without one set, only this machine"
                " itself may send, where it is no deployed one.",
                www_authenticate="Bearer",
            )
        if kind not in {_PROTOBUF, _JSON}:
            raise _Refused(415, f"Send {_PROTOBUF} or {_JSON}.")
        if self._at_once >= MAX_AT_ONCE:
            raise _Refused(429, "Too many exports at once; send it again.", retry_after="1")
        self._at_once += 1
        try:
            body = await _body(headers, receive)
            return await asyncio.to_thread(self._store, body, headers.get("content-encoding", ""), kind)
        finally:
            self._at_once -= 1

    def _store(self, body: bytes, encoding: str, kind: str) -> _Taken:
        found = {(span.trace_id, span.span_id): span for span in _decoded(_unpacked(body, encoding), kind)}
        rows: dict[Key, Mapping[str, Any]] = {}
        wrong: dict[Key, str] = {}
        nodes = []
        for key, span in found.items():
            record = None
            if otlp.counts(span):
                try:
                    record = otlp.record_of(span)
                    rows[key] = record.as_row()
                except UsageError as error:
                    wrong[key] = str(error)
            if node := otlp.node_of(span, record):
                nodes.append(node)
        result = self._write(nodes, rows) if nodes else exports.Result([], set(), None)
        rejected = [sentence for key, sentence in wrong.items() if key not in result.repeating] + result.refused
        return _Taken(len(rejected), rejected[0] if rejected else result.remark or "")

    def _write(self, nodes: list[Node], rows: Mapping[Key, Mapping[str, Any]]) -> exports.Result:
        try:
            with self._borrow() as (connection, schema):
                result = exports.store(connection, schema, nodes, rows, self._memory)
                self._forgetting.run(connection, schema)
                return result
        except (DatabaseError, SettingError) as error:
            log.warning("An export of %s spans wasn't stored. %s", len(nodes), error)
            sentence = error.sentence if isinstance(error, DatabaseError) else "The database isn't set up."
            raise _Refused(503, f"{sentence} Send it again later.", retry_after="5") from None


async def _body(headers: Mapping[str, str], receive: Receive) -> bytes:
    length = headers.get("content-length", "")
    if length.isdecimal() and length.isascii() and (len(length) > 12 or int(length) > MAX_BODY_BYTES):
        raise _too_large(MAX_BODY_BYTES)
    pieces: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise _Refused(400, "The request ended early.")
        pieces.append(message.get("body", b""))
        size += len(pieces[-1])
        if size > MAX_BODY_BYTES:
            raise _too_large(MAX_BODY_BYTES)
        if not message.get("more_body", False):
            return b"".join(pieces)


def _too_large(limit: int) -> _Refused:
    return _Refused(413, f"An export may hold {limit // 2**20} MiB; send smaller batches.")


def _unpacked(body: bytes, encoding: str) -> bytes:
    encoding = encoding.strip().lower()
    if encoding in {"", "identity"}:
        return body
    if encoding not in _PACKED:
        raise _Refused(415, "Send the body as it is, or packed with gzip.")
    unpack = zlib.decompressobj(wbits=_PACKED[encoding])
    try:
        plain = unpack.decompress(body, MAX_UNPACKED_BYTES)
    except zlib.error:
        raise _Refused(400, f"The body is no {encoding}.") from None
    if unpack.unconsumed_tail:
        raise _too_large(MAX_UNPACKED_BYTES)
    if not unpack.eof:
        raise _Refused(400, f"The body's {encoding} ends early.")
    return plain


def _decoded(body: bytes, kind: str) -> list[spans.Span]:
    try:
        return spans.from_protobuf(body) if kind == _PROTOBUF else spans.from_json(body)
    except SettingError as error:
        raise _Refused(501, str(error)) from None
    except ValueError as error:
        raise _Refused(400, str(error)) from None


def _success(kind: str, taken: _Taken) -> bytes:
    """ExportTraceServiceResponse; `partial_success` only where spans were rejected, or to warn."""
    reason = taken.reason[:300]
    if kind != _PROTOBUF:
        partial = {"rejectedSpans": str(taken.rejected), "errorMessage": reason} if reason else None
        return json.dumps({"partialSuccess": partial} if partial else {}).encode()
    from opentelemetry.proto.collector.trace.v1 import trace_service_pb2 as service

    answer = service.ExportTraceServiceResponse()
    if reason:
        answer.partial_success.rejected_spans = taken.rejected
        answer.partial_success.error_message = reason
    packed: bytes = answer.SerializeToString()
    return packed


def _status(kind: str, sentence: str) -> bytes:
    """google.rpc.Status, of which OTLP wants the message: field 2, text."""
    if kind != _PROTOBUF:
        return json.dumps({"message": sentence}).encode()
    text = sentence.encode()
    length = bytes([len(text)]) if len(text) < 128 else bytes([len(text) & 0x7F | 0x80, len(text) >> 7])
    return b"\x12" + length + text


async def _answer(send: Send, status: int, body: bytes, kind: str, headers: Mapping[str, str]) -> None:
    given = {
        "content-type": _PROTOBUF if kind == _PROTOBUF else _JSON,
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
def _own_connection() -> Iterator[tuple[Connection, str | None]]:
    database = locate(load(strict=False))
    with closing(database.connect()) as connection:
        yield connection, read_table(connection, database.url.schema).schema


app = TracesApp(_own_connection, lambda: load(strict=False))
