"""The files of docs/debugging.md, run unchanged."""

from __future__ import annotations

import importlib.util
import json
import re
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from support import ROOT, child_environment, eventually

FILES = dict(
    re.findall(r"<!-- file: (\w+) -->\n```python\n(.*?)```", (ROOT / "docs" / "debugging.md").read_text(), re.DOTALL)
)
ROUTE = "/api/debug/token-tracking"


@pytest.fixture
def write(tmp_path: Path) -> Callable[[str], Path]:
    def write_file(name: str) -> Path:
        path = tmp_path / f"{name}_file.py"
        path.write_text(FILES[name])
        return path

    return write_file


@pytest.fixture
def serve(database_url: str, tmp_path: Path) -> Iterator[Callable[..., str]]:
    """Runs a file's app under uvicorn in a separate process."""
    running: list[subprocess.Popen[bytes]] = []

    def start(module: str, **env: str) -> str:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        running.append(
            subprocess.Popen(
                [sys.executable, "-m", "uvicorn", f"{module}:app", "--port", str(port), "--log-level", "warning"],
                cwd=tmp_path,
                env={**child_environment({"DATABASE_URL": database_url, **env})},
            )
        )

        def answers() -> bool:
            assert running[-1].poll() is None
            with socket.socket() as probe:
                return probe.connect_ex(("127.0.0.1", port)) == 0

        eventually(answers, within_s=30)
        return f"http://127.0.0.1:{port}{ROUTE}"

    yield start
    for process in running:
        process.terminate()
        process.wait(timeout=20)


def fetch(url: str, token: str | None = None) -> tuple[int, dict]:
    request = urllib.request.Request(url, headers={"Authorization": f"Bearer {token}"} if token else {})
    try:
        with urllib.request.urlopen(request, timeout=20) as response:
            assert response.url == url, "redirected"
            return response.status, json.load(response)
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.load(error)


@pytest.mark.parametrize("name", ["vercel", "fastapi"])
def test_the_file_answers_under_an_asgi_server(write, serve, name):
    url = serve(
        write(name).stem, TRACKER_DEBUG_TOKEN="t0ken", VERCEL="1", VERCEL_REGION="icn1", VERCEL_ENV="production"
    )
    assert fetch(url)[0] == 401
    status, report = fetch(url, "t0ken")
    assert (status, report["runtime"]["platform"], report["environment"]["VERCEL_REGION"]) == (200, "vercel", "icn1")


def test_vercels_file_is_imported_as_its_runtime_does(write):
    """By its path, under a module name of the runtime, which uses the name `app`."""
    spec = importlib.util.spec_from_file_location("vc__handler__python", write("vercel"))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert callable(module.app)


def test_lambdas_handler_answers_an_event(write, monkeypatch, database_url):
    monkeypatch.setenv("DATABASE_URL", database_url)
    monkeypatch.setenv("AWS_LAMBDA_FUNCTION_NAME", "report")
    monkeypatch.setenv("TRACKER_DEBUG_TOKEN", "t0ken")
    spec = importlib.util.spec_from_file_location("lambda_function", write("lambda"))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)

    def call(**headers: str) -> dict:
        return module.handler(
            {
                "version": "2.0",
                "rawPath": ROUTE,
                "headers": {"x-forwarded-for": "203.0.113.9", **headers},
                "requestContext": {"http": {"method": "GET", "sourceIp": "203.0.113.9"}},
            },
            None,
        )

    assert call()["statusCode"] == 401
    for _ in range(2):  # a warm instance, too
        answer = call(Authorization="Bearer t0ken")
        assert answer["statusCode"] == 200
        assert json.loads(answer["body"])["runtime"]["platform"] == "aws_lambda"


def test_the_app_serves_the_lifespan_protocol(serve, write):
    assert fetch(serve(write("vercel").stem))[0] == 200
