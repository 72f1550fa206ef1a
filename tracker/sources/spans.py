"""An OTLP export of traces, as protobuf or JSON → plain spans.

The JSON differs from protobuf's own mapping: ids are hex and whole numbers may be numbers or text.
Source: opentelemetry.io/docs/specs/otlp, "JSON Protobuf Encoding".
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from tracker.errors import SettingError

Attributes = Mapping[str, str | int | float | bool]


@dataclass(frozen=True, slots=True)
class Span:
    """One span: ids in lowercase hex, times in nanoseconds since 1970, attributes of plain types alone."""

    trace_id: str
    span_id: str
    parent_id: str
    name: str
    start_ns: int
    end_ns: int
    failed: bool
    message: str
    attributes: Attributes
    resource: Attributes = field(default_factory=dict)


def from_protobuf(body: bytes) -> list[Span]:
    """Raises `ValueError` for a body that is no export, `SettingError` where opentelemetry-proto isn't installed."""
    try:
        from google.protobuf.message import DecodeError
        from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
    except ImportError:
        raise SettingError("OTLP as protobuf needs opentelemetry-proto: pip install opentelemetry-proto.") from None
    try:
        request = ExportTraceServiceRequest.FromString(body)
    except DecodeError:
        raise ValueError("The body is no ExportTraceServiceRequest.") from None
    return [
        Span(
            trace_id=span.trace_id.hex(),
            span_id=span.span_id.hex(),
            parent_id=span.parent_span_id.hex(),
            name=span.name,
            start_ns=span.start_time_unix_nano,
            end_ns=span.end_time_unix_nano,
            failed=span.status.code == 2,
            message=span.status.message,
            attributes=_of_messages(span.attributes),
            resource=_of_messages(resource_spans.resource.attributes),
        )
        for resource_spans in request.resource_spans
        for scope_spans in resource_spans.scope_spans
        for span in scope_spans.spans
    ]


def _of_messages(pairs: Iterable[Any]) -> dict[str, Any]:
    found = {}
    for pair in pairs:
        kind = pair.value.WhichOneof("value")
        if kind in {"string_value", "int_value", "double_value", "bool_value"}:
            found[pair.key] = getattr(pair.value, kind)
    return found


def from_json(body: bytes) -> list[Span]:
    """Raises `ValueError` for a body that is no export; an empty one is one without spans, as in protobuf."""
    try:
        document = json.loads(body or b"{}")
    except (ValueError, RecursionError):
        raise ValueError("The body is no JSON.") from None
    return [
        Span(
            trace_id=_hex(span, "traceId"),
            span_id=_hex(span, "spanId"),
            parent_id=_hex(span, "parentSpanId"),
            name=_string(span.get("name")),
            start_ns=_time(span.get("startTimeUnixNano")),
            end_ns=_time(span.get("endTimeUnixNano")),
            failed=_object(span, "status").get("code") in (2, "STATUS_CODE_ERROR"),
            message=_string(_object(span, "status").get("message")),
            attributes=_of_pairs(span),
            resource=_of_pairs(_object(resource_spans, "resource")),
        )
        for resource_spans in _list(document, "resourceSpans")
        for scope_spans in _list(resource_spans, "scopeSpans")
        for span in _list(scope_spans, "spans")
    ]


def _of_pairs(holder: Any) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for pair in _list(holder, "attributes"):
        value, key = _object(pair, "value"), pair.get("key")
        if not isinstance(key, str):
            raise ValueError("An attribute has no key.")  # noqa: TRY004  one kind of error for the caller
        if isinstance(text := value.get("stringValue"), str):
            found[key] = text
        elif (whole := _whole(value.get("intValue"))) is not None:
            found[key] = whole
        elif isinstance(number := value.get("doubleValue"), int | float):
            found[key] = number
        elif isinstance(flag := value.get("boolValue"), bool):
            found[key] = flag
    return found


def _list(holder: Any, name: str) -> Iterator[Any]:
    if not isinstance(holder, dict):
        raise ValueError(f"What holds {name} is no object.")  # noqa: TRY004  one kind of error for the caller
    items = holder.get(name)
    if items is None:
        return
    if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
        raise ValueError(f"{name} is no list of objects.")
    yield from items


def _object(holder: Any, name: str) -> dict[str, Any]:
    value = holder.get(name)
    if value is not None and not isinstance(value, dict):
        raise ValueError(f"{name} is no object.")
    return value or {}


def _string(value: object) -> str:
    return value if isinstance(value, str) else ""


def _hex(span: Any, name: str) -> str:
    return _string(span.get(name)).lower()


def _time(value: object) -> int:
    return _whole(value) or 0


def _whole(value: object) -> int | None:
    """A 64-bit number, which JSON writes as text or as a number; None where it is none."""
    if isinstance(value, str) and len(value) <= 20 and value.removeprefix("-").isdecimal() and value.isascii():
        return int(value)
    if isinstance(value, float) and value.is_integer() and abs(value) < 2**63:
        return int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) and abs(value) < 2**64 else None
