"""Encodes OTLP response bodies in the encoding of the sender: JSON or protobuf.

Source: opentelemetry.io/docs/specs/otlp, "OTLP/HTTP Response".
"""

from __future__ import annotations

import json

PROTOBUF, JSON = "application/x-protobuf", "application/json"
_MAX_REASON_CHARS = 300


def success(content_type: str, rejected: int = 0, reason: str = "") -> bytes:
    """An Export…ServiceResponse; `partial_success` only if spans were rejected, or with a warning.

    The message is the same for traces, metrics and logs: field 1, with the count in field 1 and the text in field 2.
    """
    reason = reason[:_MAX_REASON_CHARS]
    if content_type != PROTOBUF:
        partial = {"rejectedSpans": str(rejected), "errorMessage": reason} if reason else None
        return json.dumps({"partialSuccess": partial} if partial else {}).encode()
    if not reason:
        return b""
    partial_success = (b"\x08" + _varint(rejected) if rejected else b"") + _text_field(2, reason)
    return b"\x0a" + _varint(len(partial_success)) + partial_success


def failure(content_type: str, message: str) -> bytes:
    """A google.rpc.Status with the field that OTLP requires, the message: field 2, text."""
    if content_type != PROTOBUF:
        return json.dumps({"message": message}).encode()
    return _text_field(2, message)


def _text_field(number: int, text: str) -> bytes:
    encoded = text.encode("utf-8", "replace")
    return bytes([number << 3 | 2]) + _varint(len(encoded)) + encoded


def _varint(value: int) -> bytes:
    encoded = bytearray()
    while value > 0x7F:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)
