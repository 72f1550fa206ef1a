"""The examples run unchanged, with a provider API and a PostgreSQL on this machine."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from api_server import ApiServer, running_api_server
from support import ROOT, child_environment, eventually, python, rows

EXAMPLES = ROOT / "examples"
ANSWERS = ROOT / "tests" / "providers" / "responses"
COLUMNS = "model, operation, user_id, input_tokens, output_tokens, platform"
ESBUILD = "0.25.12"
VERCEL = {"VERCEL": "1", "VERCEL_ENV": "production", "VERCEL_REGION": "icn1"}


@pytest.fixture
def provider() -> Iterator[ApiServer]:
    """A provider on this machine."""
    with running_api_server() as running:
        yield running


def answer(file: str, name: str) -> Any:
    cases = json.loads((ANSWERS / f"{file}.json").read_text(encoding="utf-8"))
    return next(case.get("answer") or case["stream"] for case in cases if case["name"] == name)


@contextmanager
def serving(app: str, directory: Path, env: dict[str, str]) -> Iterator[str]:
    """An ASGI app under uvicorn; its address."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "uvicorn", app, "--port", str(port), "--log-level", "warning"]
    process = subprocess.Popen(command, cwd=directory, env=child_environment(env))
    try:
        eventually(lambda: answers(port) or process.poll() is not None, within_s=60)
        assert process.poll() is None
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(20)


def answers(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def test_every_example_is_tested_and_in_the_readme():
    names = {path.relative_to(EXAMPLES).parts[0] for path in EXAMPLES.rglob("*") if path.is_file()}
    assert names - {"__pycache__"} == {
        "context",
        "docker",
        "fastapi_vercel",
        "grafana",
        "insert.sql",
        "lambda",
        "nextjs",
        "script.py",
        "streamlit_cloud",
    }
    assert "(examples/)" in (ROOT / "README.md").read_text(encoding="utf-8")


def test_a_fastapi_app_on_vercel(provider, database_url):
    provider.prepare(answer("gemini", "text"))
    env = {
        **VERCEL,
        "DATABASE_URL": database_url,
        "GEMINI_API_KEY": "k",
        "GOOGLE_GEMINI_BASE_URL": provider.url,
        "TRACKER_DEBUG_TOKEN": "a-token",
    }
    with serving("index:app", EXAMPLES / "fastapi_vercel" / "api", env) as url:
        body = json.dumps({"text": "Long.", "user_id": "u_42"}).encode()
        request = urllib.request.Request(url + "/api/summary", body, {"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=30) as response:
            assert json.load(response) == {"summary": "Hello!"}
        # The row is there as soon as the answer is: the function may be frozen from here on.
        assert rows(database_url, f"SELECT {COLUMNS}, delivery FROM token_usage") == [
            ("gemini-2.0-flash", "summary_generation", "u_42", 8, 12, "vercel", "direct")
        ]
        report = urllib.request.Request(url + "/api/debug/token-tracking", headers={"Authorization": "Bearer a-token"})
        with urllib.request.urlopen(report, timeout=30) as response:
            assert json.load(response)["environment"]["VERCEL_REGION"] == "icn1"


def test_a_lambda_handler(provider, database_url):
    provider.prepare(answer("anthropic", "text"))
    call = 'import handler; print(handler.handler({\'body\': \'{"text": "Long.", "user_id": "u_7"}\'}, None))'
    env = {
        "AWS_LAMBDA_FUNCTION_NAME": "notes",
        "DATABASE_URL": database_url,
        "ANTHROPIC_API_KEY": "k",
        "ANTHROPIC_BASE_URL": provider.url,
    }
    done = python("-c", f"import sys; sys.path.insert(0, '.'); {call}", env=env, cwd=EXAMPLES / "lambda")
    assert done.returncode == 0, done.stderr
    assert "'statusCode': 200" in done.stdout
    ((_, operation, user, _, _, platform),) = rows(database_url, f"SELECT {COLUMNS} FROM token_usage")
    assert (operation, user, platform) == ("tag_generation", "u_7", "aws_lambda")


def test_a_plain_script(provider, database_url):
    provider.prepare(answer("openai_chat", "streamed with usage"))
    env = {"DATABASE_URL": database_url, "OPENAI_API_KEY": "k", "OPENAI_BASE_URL": provider.url + "/v1"}
    done = python(str(EXAMPLES / "script.py"), "Why?", env=env)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1].startswith("queued: ")
    ((_, operation, user, *tokens, _),) = rows(database_url, f"SELECT {COLUMNS} FROM token_usage")
    assert (operation, user, tokens) == ("question", "me", [9, 1])


def test_sql_for_an_app_in_any_language(connection):
    sql = (EXAMPLES / "insert.sql").read_text(encoding="utf-8").rstrip().removesuffix(";")
    values = (
        uuid4(), "2026-01-01T09:00:00+09:00", "u_1", "google", "gemini-2.5-flash", "tag_generation", 812, 164, 12, 64,
        1500, True, None, "production", "vercel", 0,
    )  # fmt: skip
    literals = ", ".join("NULL" if value is None else f"'{value}'" for value in values)
    with connection.cursor() as cursor:
        cursor.execute(f"PREPARE record AS {sql}")
        for stored in (1, 0):  # a second try adds nothing
            cursor.execute(f"EXECUTE record ({literals})")
            assert cursor.rowcount == stored
        cursor.execute(
            f"SELECT {COLUMNS}, total_tokens, extract(hour FROM created_at AT TIME ZONE 'UTC') FROM token_usage"
        )
        assert cursor.fetchall() == [("gemini-2.5-flash", "tag_generation", "u_1", 812, 164, "vercel", 976, 0)]


@pytest.fixture(scope="module")
def next_app(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Next.js example's files as Node runs them, and the packages they need."""
    if not (shutil.which("node") and shutil.which("npm")):
        reason = "Node and npm are not installed: apt-get install nodejs npm."
        (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)(reason)
    directory = tmp_path_factory.mktemp("next")
    for path in (ROOT / "tests/node").iterdir():
        shutil.copy(path, directory)
    packages = [f"esbuild@{ESBUILD}", "@vercel/otel@2.1.3"]
    do(directory, "npm", "install", "--no-audit", "--no-fund", "--no-package-lock", *packages)
    for name in ("instrumentation.ts", "app/api/summary/route.ts"):
        compiled = directory / Path(name).with_suffix(".js").name
        do(directory, "npx", "esbuild", str(EXAMPLES / "nextjs" / name), f"--outfile={compiled}", "--log-level=error")
    return directory


def do(directory: Path, *command: str, env: dict[str, str] | None = None) -> str:
    done = subprocess.run(
        command, cwd=directory, capture_output=True, text=True, env={**os.environ, **(env or {})}, timeout=150
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def settings_of(text: str) -> dict[str, str]:
    lines = (line for line in text.splitlines() if line and not line.startswith("#"))
    return dict(line.split("=", 1) for line in lines)


def test_a_nextjs_route_sends_its_spans(next_app: Path, database_url: str, serve_traces: Callable[..., Any]) -> None:
    settings = settings_of((EXAMPLES / "nextjs" / ".env.example").read_text(encoding="utf-8"))
    with serve_traces("the-token") as url:
        settings["OTEL_EXPORTER_OTLP_ENDPOINT"] = url
        assert json.loads(do(next_app, "node", "example.mjs", env={**settings, **VERCEL})) == {"summary": "Short."}
    columns = f"{COLUMNS}, cache_read_input_tokens, reasoning_output_tokens, environment"
    assert rows(database_url, f"SELECT {columns} FROM token_usage") == [
        ("gemini-2.5-flash", "chat", "u_42", 812, 164, "vercel", 12, 64, "production")
    ]


@pytest.fixture
def serve_traces(database_url: str) -> Callable[..., Any]:
    """Serves tracker.traces:app with a token."""
    return lambda token: serving(
        "tracker.traces:app", ROOT, {"DATABASE_URL": database_url, "TRACKER_DEBUG_TOKEN": token}
    )
