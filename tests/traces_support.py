"""Shared by the tests of POST /v1/traces: a request to the ASGI app, spans to send, and the rows that are stored."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from otlp_json import attributes_json, span_json
from support import connect, rows

from tracker.settings import load
from tracker.traces import TracesApp

CASES = Path(__file__).parent / "cases" / "otlp"
TRACE = "5b8efff798038103d269b633813fc60c"
END_NS = 1_767_225_600_000_000_000
GENAI = {
    "gen_ai.operation.name": "chat",
    "gen_ai.provider.name": "openai",
    "gen_ai.request.model": "gpt-4.1",
    "gen_ai.response.model": "gpt-4.1-2025-04-14",
    "gen_ai.usage.input_tokens": 100,
    "gen_ai.usage.output_tokens": 20,
}
PROTOBUF = {"content-type": "application/x-protobuf"}
COLUMNS = "model, provider, operation, input_tokens, output_tokens"
CODE = "metadata ->> 'usage_problem'"


def app_on(url: str, **env: str) -> TracesApp:
    """The app as in a process of its own, in an environment."""

    @contextmanager
    def borrow() -> Iterator[tuple[Any, None]]:
        with closing(connect(url)) as connection:
            yield connection, None

    return TracesApp(borrow, lambda: load(env))


def post(
    app: Any,
    body: Any,
    headers: Mapping[str, str] | None = None,
    *,
    method: str = "POST",
    client: tuple[str, int] | None = ("127.0.0.1", 5000),
    path: str = "/v1/traces",
) -> tuple[int, dict[str, str], bytes]:
    """Send one request; return the status, headers and body of the response."""
    payload = body if isinstance(body, bytes) else json.dumps(body).encode()
    given = {"content-type": "application/json", "host": "127.0.0.1:8501", **(headers or {})}
    scope = {
        "type": "http",
        "method": method,
        "path": path,
        "client": client,
        "headers": [(name.encode(), value.encode()) for name, value in given.items()],
    }
    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": payload, "more_body": False}

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    asyncio.run(app(scope, receive, send))
    response_headers = {name.decode(): value.decode() for name, value in sent[0]["headers"]}
    return sent[0]["status"], response_headers, sent[1]["body"]


def stored(url: str, columns: str = COLUMNS) -> list[tuple[Any, ...]]:
    return rows(url, f"SELECT {columns} FROM token_usage ORDER BY id")


def span(number: int, attributes: Mapping[str, Any], parent: int | None = None, **fields: Any) -> dict[str, Any]:
    """A span in OTLP/JSON."""
    return {
        "traceId": TRACE,
        "spanId": f"{number:016x}",
        "parentSpanId": "" if parent is None else f"{parent:016x}",
        "name": "chat gpt-4.1",
        "startTimeUnixNano": str(END_NS - 1_500_000_000),
        "endTimeUnixNano": str(END_NS),
        "attributes": attributes_json(attributes),
        **fields,
    }


def export(*spans: Mapping[str, Any], **resource: Any) -> dict[str, Any]:
    """An export of these spans; keywords are the resource's attributes, with _ instead of a dot."""
    attributes = attributes_json({key.replace("_", "."): value for key, value in resource.items()})
    return {
        "resourceSpans": [
            {"resource": {"attributes": attributes}, "scopeSpans": [{"scope": {"name": "t"}, "spans": list(spans)}]}
        ]
    }


def protobuf(*attributes: Any, spans: int = 1) -> bytes:
    """An export of calls in protobuf."""
    request = ExportTraceServiceRequest()
    scope = request.resource_spans.add().scope_spans.add()
    for number in range(1, spans + 1):
        made = scope.spans.add()
        made.trace_id, made.span_id = bytes.fromhex(TRACE), number.to_bytes(8)
        made.name, made.end_time_unix_nano = "chat", END_NS
        for key, content in GENAI.items():
            pair = made.attributes.add()
            pair.key = key
            if isinstance(content, int):
                pair.value.int_value = content
            else:
                pair.value.string_value = content
    return request.SerializeToString()


def export_of(*scopes: tuple[str, Sequence[Mapping[str, Any]]], **resource: Any) -> dict[str, Any]:
    """An export of spans of several instrumentations."""
    body = export(**resource)
    body["resourceSpans"][0]["scopeSpans"] = [{"scope": {"name": name}, "spans": list(spans)} for name, spans in scopes]
    return body


def case_spans(name: str, at_ns: int = END_NS) -> list[tuple[str, dict[str, Any]]]:
    """The spans of a case in `tests/cases/otlp` with their scopes; the cases have no times: all end at `at_ns`."""
    case = json.loads((CASES / f"{name}.json").read_text(encoding="utf-8"))
    times = {"start_ns": at_ns - 1_500_000_000, "end_ns": at_ns}
    return [(span["scope"], span_json({**span, **times, "events": []})) for span in case["spans"]]
