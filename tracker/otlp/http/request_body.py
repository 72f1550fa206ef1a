"""Reads the body of an export within limits, so that a request can't exhaust the memory of the process.

A few bytes can become millions of empty objects when they are parsed, so the objects are counted first. The limits are
far above the batches of exporters (512 spans), because an exporter doesn't send a batch again after 413.
"""

from __future__ import annotations

import zlib
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from tracker.otlp.http.http_error import RefusalError, too_large

Receive = Callable[[], Awaitable[Mapping[str, Any]]]

# The limit that the specification recommends, before and after decompression.
MAX_BODY_BYTES = MAX_UNPACKED_BYTES = 20 * 2**20
MAX_SPANS = 50_000
# Messages of protobuf, or objects and lists of JSON: 50,000 spans with 10 attributes are 1,050,000.
MAX_OBJECTS = 1_200_000
# Values of JSON, which are separated by commas.
MAX_VALUES = 4_000_000
# Other fields of protobuf cost no memory, but time to skip.
MAX_FIELDS = 4_000_000
_MAX_DEPTH = 100
_MAX_GZIP_MEMBERS = 10_000
_CHUNK_BYTES = 1 << 16
# zlib's window bits for each; the specification asks for gzip, Python's exporter can also send deflate.
_WINDOW_BITS = {"gzip": 31, "deflate": 15}


async def read_body(headers: Mapping[str, str], receive: Receive) -> bytes:
    """The whole body, still compressed. Raises `RefusalError`."""
    length = headers.get("content-length", "")
    if length.isdecimal() and length.isascii() and (len(length) > 12 or int(length) > MAX_BODY_BYTES):
        raise _too_many_bytes(MAX_BODY_BYTES)
    chunks: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise RefusalError(400, "The request ended early.")
        chunks.append(message.get("body", b""))
        size += len(chunks[-1])
        if size > MAX_BODY_BYTES:
            raise _too_many_bytes(MAX_BODY_BYTES)
        if not message.get("more_body", False):
            return b"".join(chunks)


def _too_many_bytes(limit: int) -> RefusalError:
    return too_large(f"An export may have at most {limit // 2**20} MiB.")


def decompressed(body: bytes, encoding: str) -> bytes:
    """The body without its content encoding. Raises `RefusalError`."""
    encoding = encoding.strip().lower()
    if encoding in {"", "identity"}:
        return body
    if encoding not in _WINDOW_BITS:
        raise RefusalError(415, "Send the body as it is, or compressed with gzip.")
    try:
        return _decompressed(memoryview(body), encoding)
    except zlib.error:
        raise RefusalError(400, f"The body is not {encoding}, or has other bytes after its end.") from None


def _decompressed(body: memoryview, encoding: str) -> bytes:
    """The data of all members of a gzip file (RFC 1952, 2.2), or of the one deflate stream."""
    plain = bytearray()
    position = members = 0
    while members == 0 or position < len(body):
        if members >= (_MAX_GZIP_MEMBERS if encoding == "gzip" else 1):
            raise zlib.error if encoding != "gzip" else too_large("The body has too many gzip members.")
        members += 1
        position = _read_member(body, position, encoding, plain)
    return bytes(plain)


def _read_member(body: memoryview, position: int, encoding: str, plain: bytearray) -> int:
    """Append one member's data; return the position of the next member."""
    unpack = zlib.decompressobj(wbits=_WINDOW_BITS[encoding])
    while not unpack.eof:
        chunk: bytes | memoryview = body[position : position + _CHUNK_BYTES]
        if not chunk:
            raise RefusalError(400, f"The body's {encoding} ends early.")
        position += len(chunk)
        while chunk and not unpack.eof:
            plain += unpack.decompress(chunk, MAX_UNPACKED_BYTES + 1 - len(plain))
            if len(plain) > MAX_UNPACKED_BYTES:
                raise _too_many_bytes(MAX_UNPACKED_BYTES)
            chunk = unpack.unconsumed_tail
    return position - len(unpack.unused_data)


def check_json(body: bytes) -> None:
    """Raises `RefusalError` for a document with more objects than any export has. Braces in texts count as well."""
    if body.count(b"{") + body.count(b"[") > MAX_OBJECTS or body.count(b",") > MAX_VALUES:
        raise too_large(f"An export may have at most {MAX_OBJECTS} objects.")


# The messages of an ExportTraceServiceRequest, by the numbers of their fields.
# Source: github.com/open-telemetry/opentelemetry-proto, trace.proto, common.proto and resource.proto.
_ANY_VALUE: dict[int, Any] = {}
_KEY_VALUE: dict[int, Any] = {2: _ANY_VALUE}
_ANY_VALUE |= {5: {1: _ANY_VALUE}, 6: {1: _KEY_VALUE}}
_EVENT = {3: _KEY_VALUE}
_LINK = {4: _KEY_VALUE}
_SPAN: dict[int, Any] = {9: _KEY_VALUE, 11: _EVENT, 13: _LINK, 15: {}}
_SCOPE_SPANS = {1: {3: _KEY_VALUE}, 2: _SPAN}
_RESOURCE_SPANS: dict[int, Any] = {1: {1: _KEY_VALUE, 3: {}}, 2: _SCOPE_SPANS, 1000: _SCOPE_SPANS}
_REQUEST = {1: _RESOURCE_SPANS}


def check_protobuf(body: bytes) -> None:  # noqa: C901  one loop: a call for each field would double its time
    """Raises `RefusalError` for a body with more messages or spans than any export has; malformed ones pass.

    Walks the wire format (protobuf.dev/programming-guides/encoding) without a copy.
    """
    spans = objects = fields = 0
    stack: list[tuple[int, int, dict[int, Any]]] = [(0, len(body), _REQUEST)]
    while stack:
        position, end, schema = stack.pop()
        while position < end:
            fields += 1
            tag = body[position]
            position += 1
            if tag & 0x80:
                tag, position = _varint(body, position - 1, end)
            wire_type = tag & 7
            if wire_type == 2:
                length = body[position] if position < end else 0
                position += 1
                if length & 0x80:
                    length, position = _varint(body, position - 1, end)
                inner = schema.get(tag >> 3)
                if inner is not None:
                    objects += 1
                    spans += inner is _SPAN
                    if objects > MAX_OBJECTS or spans > MAX_SPANS or len(stack) > _MAX_DEPTH:
                        raise _too_many(spans)
                    if length and inner:
                        stack.append((position + length, end, schema))
                        end, schema = min(position + length, end), inner
                        continue
                position += length
            elif wire_type == 0:
                while position < end and body[position] & 0x80:
                    position += 1
                position += 1
            elif wire_type in {1, 5}:
                position += 8 if wire_type == 1 else 4
            elif wire_type not in {3, 4}:
                return  # malformed: the parser refuses it
            if fields > MAX_FIELDS:
                raise _too_many(spans)


def _varint(body: bytes, position: int, end: int) -> tuple[int, int]:
    value = shift = 0
    while position < end and shift < 70:
        byte = body[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if not byte & 0x80:
            break
        shift += 7
    return value, position


def _too_many(spans: int) -> RefusalError:
    return too_many_spans() if spans > MAX_SPANS else too_large(f"An export may have at most {MAX_OBJECTS} values.")


def too_many_spans() -> RefusalError:
    """The error for an export with too many spans."""
    return too_large(f"An export may have at most {MAX_SPANS} spans.")
