"""The captured spans of tests/cases as test input: for the reader, and as exports for the dashboard."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from otlp_json import attributes_json, span_json

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
    """The cases of tests/cases/otlp that contain spans; each case has its own hour, all its spans the same times."""
    cases = []
    for hour, path in enumerate(sorted((CASES / "otlp").glob("*.json"))):
        document = json.loads(path.read_text(encoding="utf-8"))
        if "spans" in document:
            expected = [_columns(entry["expected"]) for entry in document["expected"]]
            cases.append(_case(path.stem, document["spans"], expected, START_NS + hour * HOUR_NS))
    return cases


def users_case() -> Iterator[tuple[str, Case]]:
    """The spans of 14-users-not-read.json by instrumentation."""
    document = json.loads((CASES / "otlp" / "14-users-not-read.json").read_text(encoding="utf-8"))
    for name, spans in document.items():
        if isinstance(spans, list) and "scope" in spans[0]:
            yield name, _case(name, spans, [], START_NS)


def count_cases() -> list[Case]:
    """The cases of tests/cases/counts that are spans."""
    cases = []
    for path in sorted((CASES / "counts").glob("*.json")):
        document = json.loads(path.read_text(encoding="utf-8"))
        if document["how"] == "otlp":
            case = Case(path.stem, document["input"], [document["expected"]], set())
            cases.append(case._replace(traces={span.trace_id for span in case.spans}))
    return cases


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
    resource = {"attributes": attributes_json(span.get("resource", {}))}
    return {"resource": resource, "scopeSpans": [{"scope": scope, "spans": [span_json(span)]}]}
