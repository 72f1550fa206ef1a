"""Real clients with real instrumentations export to the running dashboard: its rows are what the local API answered."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from contextlib import ExitStack
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest
from capture import environment, library_of, release_line
from local_api import LocalApi
from replay import CASES, Dashboard, differences, load

from tracker.usage import TOKEN_COLUMNS

HERE = Path(__file__).parent
# What the [dev] extra installs; the other libraries have captures only.
LIVE = {
    "openinference_openai": ("chat", "stream", "responses", "embeddings", "errors"),
    "openinference_anthropic": ("messages", "stream", "errors"),
    "openinference_google_genai": ("generate", "stream"),
    "openinference_langchain": ("openai", "anthropic"),
    "openllmetry_openai": ("chat", "stream", "responses", "embeddings"),
    "openllmetry_anthropic": ("messages", "stream"),
    "langfuse_sdk": ("openai_chat", "openai_responses", "user_and_session", "langchain"),
    "pydantic_ai_agent": ("openai", "anthropic"),
}


@pytest.mark.parametrize("file", LIVE)
def test_rows_are_what_the_api_answered(dashboard: Dashboard, file: str) -> None:
    started_s = time.time()
    with ExitStack() as stack:
        apis = {scenario: stack.enter_context(LocalApi()) for scenario in LIVE[file]}
        _run(file, dashboard.endpoint, {scenario: api.url for scenario, api in apis.items()})
    case: dict[str, Any] = {"expected": [], "spans": []}
    for scenario, api in apis.items():
        captured = _capture(library_of(file), scenario)
        assert len(api.calls) == len(captured["expected"])
        case["expected"] += [_expected(*pair) for pair in zip(captured["expected"], api.calls, strict=True)]
        case["spans"] += captured["spans"]
    assert differences(case, dashboard.rows(started_s, time.time() + 1)) == []


def _run(file: str, endpoint: str, apis: dict[str, str]) -> None:
    scenarios = [f"{scenario}={url}" for scenario, url in apis.items()]
    command = [sys.executable, str(HERE / "capture.py"), "--run", file, endpoint, "-", *scenarios]
    done = subprocess.run(
        command, env=environment(os.environ, endpoint), capture_output=True, text=True, timeout=150, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]


def _capture(library: str, scenario: str) -> dict[str, Any]:
    """The scenario's capture of this release line."""
    (path,) = CASES.glob(f"{library}-{release_line(metadata.version(library))}*-{scenario}.json")
    return load(path)


def _expected(item: dict[str, Any], call: dict[str, Any]) -> dict[str, Any]:
    """The capture's expectation with what the API answered now."""
    answered = {part: call.get(part, 0) for part in TOKEN_COLUMNS} if "input_tokens" in item else {}
    details = {"details": call["details"]} if "details" in item else {}
    return {**item, **answered, **details, "model": call["model"], "success": call["success"]}
