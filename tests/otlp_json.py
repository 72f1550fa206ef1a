"""Captured spans as OTLP/JSON (opentelemetry.io/docs/specs/otlp, "JSON Protobuf Encoding")."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any


def span_json(
    span: Mapping[str, Any], *, shift_ns: int = 0, new_id: Callable[[str], str] = lambda captured: captured
) -> dict[str, Any]:
    """The span as OTLP/JSON with its times shifted; `new_id` replaces the ids of traces and spans."""
    return {
        "traceId": new_id(span["trace"]),
        "spanId": new_id(span["span"]),
        "parentSpanId": new_id(span["parent"]),
        "name": span["name"],
        "kind": span.get("kind", 0),
        "startTimeUnixNano": str(span["start_ns"] + shift_ns),
        "endTimeUnixNano": str(span["end_ns"] + shift_ns),
        "status": span["status"],
        "attributes": attributes_json(span["attributes"]),
        "events": [
            {
                "name": event["name"],
                "timeUnixNano": str(event.get("time_ns", span["end_ns"]) + shift_ns),
                "attributes": attributes_json(event.get("attributes", {})),
            }
            for event in span.get("events", [])
        ],
    }


def attributes_json(attributes: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Attributes as OTLP/JSON: a list of keys and typed values."""
    return [{"key": key, "value": _value_json(value)} for key, value in attributes.items()]


def _value_json(value: Any) -> dict[str, Any]:
    if isinstance(value, bool):
        return {"boolValue": value}
    if isinstance(value, int):
        return {"intValue": str(value)}
    if isinstance(value, float):
        return {"doubleValue": value}
    if isinstance(value, list):
        return {"arrayValue": {"values": [_value_json(item) for item in value]}}
    if isinstance(value, dict):
        return {"kvlistValue": {"values": attributes_json(value)}}
    return {} if value is None else {"stringValue": str(value)}
