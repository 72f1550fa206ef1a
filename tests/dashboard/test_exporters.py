"""The dashboard takes what real exporters send: OpenTelemetry's of Python and Node, the Vercel AI SDK through them."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from dashboard_support import Server, free_port, start_server
from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SimpleSpanProcessor, SpanExportResult
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from support import ROOT, child_environment, eventually, rows, run, value, with_database

TOKEN = "a-token-of-the-tests"
CASE_01 = ROOT / "tests" / "cases" / "otlp" / "01-dashboard-500-second-export.json"


TABLES = "SELECT tablename FROM pg_tables WHERE schemaname = 'public' AND tablename <> 'token_tracker_migrations'"


@pytest.fixture(scope="module")
def shared_url(server_url: str, template: str) -> Iterator[str]:
    """A migrated database for all tests of this module."""
    name = f"tracker_exporters_{os.getpid()}"
    run(server_url, f"DROP DATABASE IF EXISTS {name}", f"CREATE DATABASE {name} TEMPLATE {template}")
    yield with_database(server_url, name)
    run(server_url, f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")


@pytest.fixture
def database_url(shared_url: str) -> str:
    """The URL of the module's database with empty tables."""
    run(shared_url, f"TRUNCATE {', '.join(name for (name,) in rows(shared_url, TABLES))}")
    return shared_url


@pytest.fixture(scope="module")
def dashboard(shared_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    home = str(tmp_path_factory.mktemp("home"))
    started = start_server({"DATABASE_URL": shared_url, "TRACKER_DEBUG_TOKEN": TOKEN, "XDG_STATE_HOME": home})
    yield started
    started.process.terminate()
    started.process.wait(timeout=20)


@pytest.fixture
def server(dashboard: Server, database_url: str) -> Server:
    """The module's dashboard on empty tables."""
    return dashboard


@pytest.mark.parametrize("compression", list(Compression))
def test_pythons_exporter(server: Server, database_url: str, compression: Compression) -> None:
    exporter = OTLPSpanExporter(
        server.url + "/v1/traces", headers={"authorization": f"Bearer {TOKEN}"}, compression=compression
    )
    provider = TracerProvider(resource=Resource.create({"service.name": "app", "deployment.environment": "preview"}))
    provider.add_span_processor(BatchSpanProcessor(exporter))
    tracer = provider.get_tracer("tests")
    with tracer.start_as_current_span("invoke_agent") as agent:
        agent.set_attributes({"gen_ai.operation.name": "invoke_agent", "gen_ai.usage.input_tokens": 300})
        for number in range(3):
            with tracer.start_as_current_span("chat claude") as span:
                span.set_attributes(
                    {
                        "gen_ai.operation.name": "chat",
                        "gen_ai.provider.name": "anthropic",
                        "gen_ai.request.model": "claude-sonnet-4-5",
                        "gen_ai.usage.input_tokens": 100 + number,
                        "gen_ai.usage.output_tokens": 7,
                    }
                )
    provider.shutdown()
    assert rows(database_url, "SELECT input_tokens, provider, environment FROM token_usage ORDER BY 1") == [
        (100, "anthropic", "preview"),
        (101, "anthropic", "preview"),
        (102, "anthropic", "preview"),
    ]


def _export(url: str, tracer_name: str, service: str, spans: list[ReadableSpan]) -> SpanExportResult:
    """Send finished spans as a service does: with the SDK's own exporter."""
    exporter = OTLPSpanExporter(
        url + "/v1/traces", headers={"authorization": f"Bearer {TOKEN}"}, compression=Compression.Gzip, timeout=30
    )
    try:
        return exporter.export([_of(span, tracer_name, service) for span in spans])
    finally:
        exporter.shutdown()


def _of(span: ReadableSpan, tracer_name: str, service: str) -> ReadableSpan:
    return ReadableSpan(
        name=span.name,
        context=span.context,
        parent=span.parent,
        resource=Resource.create({"service.name": service}),
        attributes=span.attributes,
        start_time=span.start_time,
        end_time=span.end_time,
        instrumentation_scope=InstrumentationScope(tracer_name),
    )


def _trace(input_tokens: int) -> list[ReadableSpan]:
    """A finished trace: an HTTP span, a call of a framework, and the same call by the SDK below it."""
    memory = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(memory))
    tracer = provider.get_tracer("tests")
    usage = {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "anthropic",
        "gen_ai.request.model": "claude-sonnet-4-5",
        "gen_ai.usage.input_tokens": input_tokens,
        "gen_ai.usage.output_tokens": 7,
    }
    with (
        tracer.start_as_current_span("POST /chat"),
        tracer.start_as_current_span("chat", attributes={**usage, "user.id": "u_7"}),
        tracer.start_as_current_span("chat", attributes=usage),
    ):
        pass
    provider.shutdown()
    return list(memory.get_finished_spans())


def _answers(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@pytest.fixture(params=["dashboard", "app"])
def intake(request: pytest.FixtureRequest, database_url: str) -> Iterator[str]:
    """The address of the dashboard, and of the app alone in an ASGI server."""
    if request.param == "dashboard":
        yield request.getfixturevalue("server").url
        return
    port = free_port()
    process = subprocess.Popen(
        [sys.executable, "-m", "uvicorn", "tracker.traces:app", "--port", str(port), "--log-level", "warning"],
        cwd=ROOT,
        env=child_environment({"DATABASE_URL": database_url, "TRACKER_DEBUG_TOKEN": TOKEN}),
    )
    try:
        eventually(lambda: _answers(port), within_s=60)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(20)


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 0, 2)])
def test_a_trace_in_parts_sent_twice_by_two_services_is_one_row(
    intake: str, database_url: str, order: tuple[int, ...]
) -> None:
    scopes = ("sdk", "framework", "http")
    spans = _trace(120)
    for _ in range(2):
        for index in order:
            result = _export(intake, scopes[index], f"service-{index}", [spans[index]])
            assert result is SpanExportResult.SUCCESS
    found = rows(database_url, "SELECT input_tokens, user_id, count(*) OVER () FROM token_usage")
    assert found == [(120, "u_7", 1)]


def test_two_services_send_many_traces_at_once(server: Server, database_url: str) -> None:
    traces = [_trace(number) for number in range(1, 13)]

    def send(number: int) -> SpanExportResult:
        sdk, framework, http = traces[number % 12]
        if number < 12:
            return _export(server.url, "framework", "web", [framework, http])
        return _export(server.url, "sdk", "worker", [sdk])

    with ThreadPoolExecutor(4) as threads:
        assert set(threads.map(send, [*range(24), *range(24)])) == {SpanExportResult.SUCCESS}
    assert rows(database_url, "SELECT input_tokens, user_id FROM token_usage ORDER BY 1") == [
        (number, "u_7") for number in range(1, 13)
    ]


def test_metrics_and_logs_are_accepted_and_counted(server: Server, database_url: str) -> None:
    headers = {"authorization": f"Bearer {TOKEN}"}
    metrics = OTLPMetricExporter(server.url + "/v1/metrics", headers=headers, compression=Compression.Gzip)
    meters = MeterProvider([PeriodicExportingMetricReader(metrics, export_interval_millis=1e9)])
    meters.get_meter("tests").create_counter("gen_ai.client.token.usage").add(3)
    assert meters.force_flush()
    meters.shutdown()
    logs = OTLPLogExporter(server.url + "/v1/logs", headers=headers)
    assert logs.export([]).name == "SUCCESS"
    for path in ("/v1/metrics", "/v1/logs"):
        assert server.get(path, "POST")[0] == 401
        assert server.get(path)[0] == 405
    eventually(lambda: value(database_url, "SELECT sum(items) >= 1 FROM token_tracker_unread WHERE signal = 'metrics'"))
    assert value(database_url, "SELECT count(*) FROM token_usage") == 0


def test_a_wrong_token_stores_nothing(server: Server, database_url: str) -> None:
    assert server.get("/v1/traces", "POST")[0] == 401
    assert server.get("/v1/traces")[0] == 405
    assert value(database_url, "SELECT count(*) FROM token_usage") == 0


@pytest.fixture(scope="module")
def node_app() -> Iterator[Path]:
    """A directory with the Node app and its packages."""
    if shutil.which("npm") is None:
        reason = "the Node exporters need npm, and there is none on the path"
        (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)(reason)
    with tempfile.TemporaryDirectory(prefix="tracker-node-") as name:
        directory = Path(name)
        for path in (ROOT / "tests" / "node").iterdir():
            shutil.copy(path, directory)
        command = ["npm", "install", "--no-audit", "--no-fund", "--no-package-lock", "--ignore-scripts"]
        done = subprocess.run(command, cwd=directory, capture_output=True, text=True, timeout=150, check=False)
        assert done.returncode == 0, done.stderr
        yield directory


@pytest.mark.parametrize("kind", ["proto", "http"])
def test_nodes_exporters_and_the_vercel_ai_sdk(server: Server, database_url: str, node_app: Path, kind: str) -> None:
    done = subprocess.run(
        ["node", "send.mjs", server.url, kind],
        cwd=node_app,
        env={**os.environ, "TRACKER_DEBUG_TOKEN": TOKEN},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    columns = "operation, user_id, provider, model, input_tokens, output_tokens, cache_read_input_tokens"
    found = rows(database_url, f"SELECT {columns} FROM token_usage ORDER BY created_at, id")
    gemini = ("google", "gemini-2.5-flash", 100, 50, 30)
    assert sorted(found) == sorted(
        [
            *[("summary_generation", "u_42", *gemini)] * 2,
            *[("chat", "anonymous", *gemini)] * 3,
            ("embeddings", "anonymous", "openai", "text-embedding-3-small", 8, 0, 0),
        ]
    )
    assert rows(database_url, "SELECT DISTINCT environment, platform, region FROM token_usage") == [
        ("production", "vercel", "icn1")
    ]


def test_each_call_of_a_long_trace_is_a_row_though_each_is_an_export_of_its_own(
    server: Server, database_url: str
) -> None:
    """Case 01: exports of a trace that was known already were answered with 500."""
    calls = json.loads(CASE_01.read_text(encoding="utf-8"))["expected"]
    names = {"input": "input_tokens", "output": "output_tokens", "cache_read": "cache_read.input_tokens"}
    names |= {"cache_write": "cache_creation.input_tokens", "reasoning": "reasoning.output_tokens"}
    memory = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(memory))
    tracer = provider.get_tracer("app")
    with tracer.start_as_current_span("POST /summary"):
        for number, call in enumerate(calls):
            with tracer.start_as_current_span("chat") as span:
                span.set_attributes({f"gen_ai.usage.{name}": call["expected"][key] for key, name in names.items()})
                span.set_attributes({"gen_ai.operation.name": "chat", "gen_ai.response.id": f"resp_{number}"})
                span.set_attributes({"gen_ai.provider.name": "openai", "gen_ai.response.model": call["model"]})
    for span in memory.get_finished_spans() * 2:
        assert _export(server.url, "openai", "app", [span]) is SpanExportResult.SUCCESS
    found = rows(
        database_url,
        "SELECT model, input_tokens, output_tokens, cache_read_input_tokens, cache_write_input_tokens,"
        " reasoning_output_tokens FROM token_usage ORDER BY created_at",
    )
    assert found == [(call["model"], *(call["expected"][key] for key in names)) for call in calls]
    assert server.unforeseen() == ""
