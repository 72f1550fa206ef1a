"""The captured spans of tests/cases as test input: for the reader, and as exports for the dashboard."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from tracker.otlp.decode import Span, from_json

CASES = Path(__file__).parent / "cases"
HOUR_NS = 3_600_000_000_000
START_NS = 1_767_225_600_000_000_000
COUNTS = {
    "input": "input_tokens",
    "output": "output_tokens",
    "cache_read": "cache_read_input_tokens",
    "cache_write": "cache_write_input_tokens",
    "reasoning": "reasoning_output_tokens",
}


class Case(NamedTuple):
    """Captured spans (OTLP JSON), the rows they become, and their traces."""

    name: str
    export: dict[str, Any]
    expected: list[dict[str, Any]]
    traces: set[str]

    @property
    def spans(self) -> list[Span]:
        """The spans as the reader gets them."""
        return from_json(json.dumps(self.export).encode())


def captured_cases() -> list[Case]:
    """The cases of tests/cases/otlp that contain spans; each has an hour of its own, its spans one interval."""
    found = []
    for hour, path in enumerate(sorted((CASES / "otlp").glob("*.json"))):
        document = json.loads(path.read_text(encoding="utf-8"))
        if "spans" in document:
            expected = [_columns(entry["expected"]) for entry in document["expected"]]
            found.append(_case(path.stem, document["spans"], expected, START_NS + hour * HOUR_NS))
    return found


def users_case() -> Iterator[tuple[str, Case]]:
    """The spans of 14-users-not-read.json by instrumentation."""
    document = json.loads((CASES / "otlp" / "14-users-not-read.json").read_text(encoding="utf-8"))
    for name, spans in document.items():
        if isinstance(spans, list) and "scope" in spans[0]:
            yield name, _case(name, spans, [], START_NS)


def count_cases() -> list[Case]:
    """The cases of tests/cases/counts that are spans."""
    found = []
    for path in sorted((CASES / "counts").glob("*.json")):
        document = json.loads(path.read_text(encoding="utf-8"))
        if document["how"] == "otlp":
            case = Case(path.stem, document["input"], [document["expected"]], set())
            found.append(case._replace(traces={span.trace_id for span in case.spans}))
    return found


def instrumentation_cases() -> list[dict[str, Any]]:
    """The documents of tests/cases/instrumentations, each with its spans as the reader gets them."""
    documents = []
    for path in sorted((CASES / "instrumentations").glob("*.json")):
        document = json.loads(path.read_text(encoding="utf-8"))
        export = {"resourceSpans": [_resource_spans(span) for span in document["spans"]]}
        documents.append({**document, "name": path.stem, "read": from_json(json.dumps(export).encode())})
    return documents


def _columns(expected: Mapping[str, int]) -> dict[str, Any]:
    return {column: expected[name] for name, column in COUNTS.items()}


def _case(name: str, spans: list[dict[str, Any]], expected: list[dict[str, Any]], end_ns: int) -> Case:
    timed = [{**span, "start_ns": end_ns - 1_500_000_000, "end_ns": end_ns} for span in spans]
    export = {"resourceSpans": [_resource_spans(span) for span in timed]}
    return Case(name, export, expected, {span["trace"] for span in spans})


def _resource_spans(span: Mapping[str, Any]) -> dict[str, Any]:
    scope = span["scope"] if isinstance(span["scope"], dict) else {"name": span["scope"]}
    made = {
        "traceId": span["trace"],
        "spanId": span["span"],
        "parentSpanId": span["parent"],
        "name": span["name"],
        "startTimeUnixNano": str(span["start_ns"]),
        "endTimeUnixNano": str(span["end_ns"]),
        "status": span["status"],
        "attributes": _pairs(span["attributes"]),
        "events": [
            {"name": event["name"], "attributes": _pairs(event.get("attributes", {}))}
            for event in span.get("events", [])
        ],
    }
    resource = {"attributes": _pairs(span.get("resource", {}))}
    return {"resource": resource, "scopeSpans": [{"scope": scope, "spans": [made]}]}


def _pairs(attributes: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [{"key": key, "value": _value(value)} for key, value in attributes.items()]


def _value(value: Any) -> dict[str, Any]:
    if isinstance(value, bool):
        return {"boolValue": value}
    if isinstance(value, int):
        return {"intValue": str(value)}
    if isinstance(value, float):
        return {"doubleValue": value}
    if isinstance(value, list):
        return {"arrayValue": {"values": [_value(item) for item in value]}}
    return {"stringValue": str(value)}
