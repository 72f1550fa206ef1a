"""The dashboard takes what real exporters send: OpenTelemetry's of Python and Node, the Vercel AI SDK through them."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from dashboard_support import Server
from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from support import ROOT, rows, value

TOKEN = "a-token-of-the-tests"
StartDashboard = Callable[..., Server]


@pytest.fixture
def server(start_dashboard: StartDashboard, database_url: str) -> Server:
    return start_dashboard(database_url, TRACKER_DEBUG_TOKEN=TOKEN)


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
