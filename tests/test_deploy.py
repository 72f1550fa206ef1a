"""The recorder files in docs/deploy.md run unchanged."""

from __future__ import annotations

import importlib.util
import json
import re
import threading
import urllib.request
from http.server import HTTPServer
from types import ModuleType

import pytest
from support import ROOT, rows

from tracker.recording import tracker as tracker_module

FILES = dict(
    re.findall(r"<!-- file: (\w+) -->\n```\w+\n(.*?)```", (ROOT / "docs" / "deploy.md").read_text("utf-8"), re.DOTALL)
)
VERCEL = {"VERCEL": "1", "VERCEL_ENV": "production", "VERCEL_REGION": "icn1", "VERCEL_GIT_COMMIT_SHA": "a1b2c3d"}
LAMBDA = {"AWS_LAMBDA_FUNCTION_NAME": "f", "AWS_REGION": "eu-west-1", "AWS_LAMBDA_FUNCTION_VERSION": "7"}


@pytest.fixture
def load(tmp_path, monkeypatch):
    def load_it(name: str, **env: str) -> ModuleType:
        for variable, text in env.items():
            monkeypatch.setenv(variable, text)
        path = tmp_path / f"{name}_file.py"
        path.write_text(FILES[name], encoding="utf-8")
        spec = importlib.util.spec_from_file_location(path.stem, path)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module

    yield load_it
    if tracker_module._shared is not None:
        tracker_module._shared.close()


def stored(url: str):
    return rows(url, "SELECT model, operation, platform, environment, region, deployment, delivery FROM token_usage")


def test_the_vercel_file_records_before_it_answers(load, database_url):
    module = load("vercel", DATABASE_URL=database_url, **VERCEL)
    module.handler.log_message = lambda *_: None
    with HTTPServer(("127.0.0.1", 0), module.handler) as server:
        thread = threading.Thread(target=server.handle_request)
        thread.start()
        request = urllib.request.Request(f"http://127.0.0.1:{server.server_port}/api/summary", method="POST")
        with urllib.request.urlopen(request, timeout=20) as answer:
            assert json.load(answer) == {"recorded": "recorded"}
        thread.join()
    assert stored(database_url) == [
        ("gemini-2.5-flash", "summary_generation", "vercel", "production", "icn1", "a1b2c3d", "direct")
    ]


class Context:
    """What Lambda hands to a function."""

    def __init__(self, left_ms: int = 3000) -> None:
        self._left_ms = left_ms

    def get_remaining_time_in_millis(self) -> int:
        return self._left_ms


def test_the_lambda_file_records_within_the_functions_time(load, database_url):
    module = load("lambda", DATABASE_URL=database_url, **LAMBDA)
    assert module.handler({"input": 9, "output": 2}, Context()) == {"status": "recorded"}
    assert stored(database_url)[0][2:6] == ("aws_lambda", "production", "eu-west-1", "7")


def test_without_a_database_the_lambda_file_answers_all_the_same(load):
    module = load("lambda", DATABASE_URL="postgresql://127.0.0.1:1/x", **LAMBDA)
    assert module.handler({"input": 9, "output": 2}, Context(200)) == {"status": "queued"}
