"""Decodes an OTLP export of traces (protobuf or JSON) into plain spans.

OTLP's JSON differs from protobuf's own JSON mapping: ids are hex, and a whole number may be a number or a string.
Source: opentelemetry.io/docs/specs/otlp, "JSON Protobuf Encoding".
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from tracker.errors import SettingError
from tracker.otlp.reading.genai_attributes import PROPERTY_PREFIXES, PROPERTY_TAGS

Attributes = Mapping[str, str | int | float | bool]

_MAX_NAME_CHARS = 200
_MAX_MESSAGE_CHARS = 2000
# The list attributes that are read: this one as a text with commas, tags and lists of metadata as JSON.
_LISTS = frozenset({"gen_ai.response.finish_reasons"})
_JSON_LISTS = (*PROPERTY_TAGS, *PROPERTY_PREFIXES)
_MAX_LIST_ITEMS = 100
_SCALARS = frozenset({"string_value", "int_value", "double_value", "bool_value"})
# What PostgreSQL can't store in a text: NUL and lone surrogates.
_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")
# A span may have many events (one per streamed chunk); only the exceptions are read.
_MAX_EVENTS = 1000


@dataclass(frozen=True, slots=True)
class Span:
    """One span: ids in lowercase hex, times in nanoseconds since 1970, attributes of scalar types.

    The finish reasons, a list, are one text with commas.
    `scope_name` and `scope_version` name the instrumentation that wrote the span. `exception_type` and
    `exception_message` come from its last event named `exception`.
    """

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
    scope_name: str = ""
    scope_version: str = ""
    exception_type: str = ""
    exception_message: str = ""


def from_protobuf(body: bytes, max_spans: int | None = None) -> list[Span]:
    """The spans of a protobuf export, the first `max_spans` of them.

    Raises `ValueError` for a body that is not an export, `SettingError` if opentelemetry-proto is not installed.
    """
    try:
        from google.protobuf.message import DecodeError
        from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
    except ImportError:
        raise SettingError("OTLP as protobuf needs opentelemetry-proto: pip install opentelemetry-proto.") from None
    try:
        request = ExportTraceServiceRequest.FromString(body)
    except DecodeError:
        raise ValueError("The body is not an ExportTraceServiceRequest.") from None
    spans = (span for resource_spans in request.resource_spans for span in _spans_of_message(resource_spans))
    return list(islice(spans, max_spans))


def _spans_of_message(resource_spans: Any) -> Iterator[Span]:
    resource = _attributes_of_message(resource_spans.resource)
    for scope_spans in resource_spans.scope_spans:
        scope = scope_spans.scope
        for span in scope_spans.spans:
            events = ((event.name, _attributes_of_message(event)) for event in span.events)
            exception_type, exception_message = _last_exception(events)
            yield Span(
                trace_id=span.trace_id.hex(),
                span_id=span.span_id.hex(),
                parent_id=span.parent_span_id.hex(),
                name=_clean(span.name),
                start_ns=span.start_time_unix_nano,
                end_ns=span.end_time_unix_nano,
                failed=span.status.code == 2,
                message=_clean(span.status.message[:_MAX_MESSAGE_CHARS]),
                attributes=_attributes_of_message(span),
                resource=resource,
                scope_name=_clean(scope.name[:_MAX_NAME_CHARS]),
                scope_version=_clean(scope.version[:_MAX_NAME_CHARS]),
                exception_type=exception_type,
                exception_message=exception_message,
            )


def _attributes_of_message(message: Any) -> dict[str, Any]:
    attributes = {}
    for pair in message.attributes:
        kind = pair.value.WhichOneof("value")
        if kind == "string_value":
            attributes[_clean(pair.key)] = _clean(pair.value.string_value)
        elif kind in _SCALARS:
            attributes[_clean(pair.key)] = getattr(pair.value, kind)
        elif kind == "array_value" and pair.key in _LISTS:
            texts = ",".join(item.string_value for item in pair.value.array_value.values)
            attributes[pair.key] = _clean(texts[:_MAX_NAME_CHARS])
        elif kind == "array_value" and pair.key.startswith(_JSON_LISTS):
            values = (
                getattr(item, item_kind)
                for item in pair.value.array_value.values
                if (item_kind := item.WhichOneof("value")) in _SCALARS
            )
            attributes[_clean(pair.key)] = _json_list(values)
    return attributes


def _json_list(values: Iterable[Any]) -> str:
    return json.dumps([_clean(v) if isinstance(v, str) else v for v in islice(values, _MAX_LIST_ITEMS)])


def from_json(body: bytes, max_spans: int | None = None) -> list[Span]:
    """The first `max_spans` spans of a JSON export; an empty body is an export without spans, as in protobuf.

    Raises `ValueError` for a body that is not an export.
    """
    try:
        document = json.loads(body or b"{}")
    except (ValueError, RecursionError):
        raise ValueError("The body is not JSON.") from None
    spans = (span for resource_spans in _list(document, "resourceSpans") for span in _spans_of_json(resource_spans))
    return list(islice(spans, max_spans))


def _spans_of_json(resource_spans: Any) -> Iterator[Span]:
    resource = _attributes_of_json(_object(resource_spans, "resource"))
    for scope_spans in _list(resource_spans, "scopeSpans"):
        scope = _object(scope_spans, "scope")
        for span in _list(scope_spans, "spans"):
            exception_type, exception_message = _last_exception(_events_of_json(span))
            yield Span(
                trace_id=_string(span.get("traceId")).lower(),
                span_id=_string(span.get("spanId")).lower(),
                parent_id=_string(span.get("parentSpanId")).lower(),
                name=_string(span.get("name")),
                start_ns=_whole(span.get("startTimeUnixNano")) or 0,
                end_ns=_whole(span.get("endTimeUnixNano")) or 0,
                failed=_object(span, "status").get("code") in (2, "STATUS_CODE_ERROR"),
                message=_string(_object(span, "status").get("message"))[:_MAX_MESSAGE_CHARS],
                attributes=_attributes_of_json(span),
                resource=resource,
                scope_name=_string(scope.get("name"))[:_MAX_NAME_CHARS],
                scope_version=_string(scope.get("version"))[:_MAX_NAME_CHARS],
                exception_type=exception_type,
                exception_message=exception_message,
            )


def _events_of_json(span: Any) -> Iterator[tuple[str, dict[str, Any]]]:
    events = span.get("events")
    for event in events if isinstance(events, list) else ():
        if isinstance(event, dict):
            yield _string(event.get("name")), _attributes_of_json(event)


def _last_exception(events: Iterable[tuple[str, Mapping[str, Any]]]) -> tuple[str, str]:
    """Type and message of the last event named `exception`; empty strings without one.

    Source: opentelemetry.io/docs/specs/semconv/exceptions/exceptions-spans.
    """
    exception_type = exception_message = ""
    for name, attributes in islice(events, _MAX_EVENTS):
        if name == "exception":
            exception_type = _string(attributes.get("exception.type"))[:_MAX_NAME_CHARS]
            exception_message = _string(attributes.get("exception.message"))[:_MAX_MESSAGE_CHARS]
    return exception_type, exception_message


def _attributes_of_json(holder: Any) -> dict[str, Any]:
    attributes: dict[str, Any] = {}
    for pair in _list(holder, "attributes"):
        value, key = _object(pair, "value"), pair.get("key")
        if not isinstance(key, str):
            raise ValueError("An attribute has no key.")  # noqa: TRY004  one kind of error for the caller
        key = _clean(key)
        if (scalar := _scalar_of_json(value)) is not None:
            attributes[key] = scalar
        elif key in _LISTS and isinstance(value.get("arrayValue"), dict):
            texts = [_string(item.get("stringValue")) for item in _list(value["arrayValue"], "values")]
            attributes[key] = ",".join(texts)[:_MAX_NAME_CHARS]
        elif key.startswith(_JSON_LISTS) and isinstance(value.get("arrayValue"), dict):
            scalars = (_scalar_of_json(item) for item in _list(value["arrayValue"], "values"))
            attributes[key] = _json_list(scalar for scalar in scalars if scalar is not None)
    return attributes


def _scalar_of_json(value: Mapping[str, Any]) -> str | int | float | bool | None:
    """The value of one of OTLP's scalar types; None for any other type."""
    if isinstance(text := value.get("stringValue"), str):
        return _clean(text)
    if (whole := _whole(value.get("intValue"))) is not None:
        return whole
    if isinstance(number := value.get("doubleValue"), int | float):
        return number
    return flag if isinstance(flag := value.get("boolValue"), bool) else None


def _list(holder: Any, name: str) -> Iterator[Any]:
    if not isinstance(holder, dict):
        raise ValueError(f"The parent of {name} is not an object.")  # noqa: TRY004  one kind of error for the caller
    items = holder.get(name)
    if items is None:
        return
    if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
        raise ValueError(f"{name} is not a list of objects.")
    yield from items


def _object(holder: Any, name: str) -> dict[str, Any]:
    value = holder.get(name)
    if value is not None and not isinstance(value, dict):
        raise ValueError(f"{name} is not an object.")
    return value or {}


def _string(value: object) -> str:
    return _clean(value) if isinstance(value, str) else ""


def _clean(text: str) -> str:
    """The text without characters that PostgreSQL can't store."""
    if text.isascii() and "\0" not in text:
        return text
    return _UNSTORABLE.sub("\ufffd", text)


def _whole(value: object) -> int | None:
    """A 64-bit number, which JSON writes as a string or as a number; None for anything else."""
    if isinstance(value, str) and len(value) <= 20 and value.removeprefix("-").isdecimal() and value.isascii():
        return int(value)
    if isinstance(value, float) and value.is_integer() and abs(value) < 2**63:
        return int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) and abs(value) < 2**64 else None
