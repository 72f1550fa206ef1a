"""token-tracker mcp: an MCP client of the official SDK starts the command, lists its tools and calls each of them."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from typing import Any

import pytest
from support import ROOT, child_environment, run

from tracker import settings
from tracker.cli import main
from tracker.database.locate import Database
from tracker.database.url import clean
from tracker.errors import SettingError
from tracker.reports import Reader

EXPECTED = {"usage", "last_records", "anomalies", "connections", "doctor"}
SECRET = "sk-proj-abcdefghijklmnopqrstuvwxyz0123456789"


@pytest.fixture
def url(database_url: str) -> str:
    run(
        database_url,
        "INSERT INTO token_usage (model, user_id, input_tokens, output_tokens, total_tokens, cost, success,"
        f" error_message, metadata) SELECT 'm' || n % 2, 'u', 10, 5, 15, 0.25, n <> 3, '{SECRET} ' || repeat('x', 900),"
        ' \'{"team": "growth"}\' FROM generate_series(1, 10) n',
    )
    return database_url


async def ask(url: str) -> dict[str, Any]:
    from mcp import Client, StdioServerParameters

    env = child_environment({"DATABASE_URL": url, "PYTHONPATH": os.pathsep.join(sys.path)})
    command = StdioServerParameters(command=sys.executable, args=["-m", "tracker", "mcp"], env=env, cwd=str(ROOT))
    async with Client(command, read_timeout_seconds=60) as client:
        tools = (await client.list_tools()).tools
        questions: dict[str, tuple[str, dict[str, Any]]] = {
            "usage": ("usage", {"dimensions": ["model", "metadata.team"], "last": "24h"}),
            "total": ("usage", {"dimensions": [], "properties": {"team": "other"}}),
            "last_records": ("last_records", {"count": 2}),
            "anomalies": ("anomalies", {}),
            "connections": ("connections", {}),
            "doctor": ("doctor", {}),
            "unknown": ("usage", {"dimensions": ["minute"]}),
            "too many": ("last_records", {"count": 51}),
            "no number": ("last_records", {"count": "many"}),
        }
        return {"tools": tools, **{key: await client.call_tool(*question) for key, question in questions.items()}}


def test_an_mcp_client_lists_and_calls_the_tools(url: str) -> None:
    pytest.importorskip("mcp", reason="pip install 'token-tracker[mcp]'")
    answers = asyncio.run(ask(url))
    tools = answers.pop("tools")
    assert {tool.name for tool in tools} == EXPECTED
    assert all(tool.annotations.read_only_hint for tool in tools)
    assert all(tool.description for tool in tools)
    (usage,) = [tool for tool in tools if tool.name == "usage"]
    assert set(usage.input_schema["properties"]) >= {
        "dimensions",
        "last",
        "timezone",
        "model",
        "properties",
        "max_rows",
    }
    for name in ("unknown", "too many", "no number"):
        assert answers[name].is_error
    assert "There is no dimension 'minute'; use some of: model" in answers.pop("unknown").content[0].text
    assert "use 1 to 50" in answers.pop("too many").content[0].text
    answers.pop("no number")
    data = {name: answer.structured_content for name, answer in answers.items()}
    assert all(not answer.is_error for answer in answers.values()), answers
    assert [(row["model"], row["calls"], row["cost_usd"]) for row in data["usage"]["data"]] == [
        ("m0", 5, "1.25"),
        ("m1", 5, "1.25"),
    ]
    assert data["usage"]["totals"]["failed_calls"] == 1
    assert (data["total"]["data"], data["total"]["totals"]) == ([], None)
    records = data["last_records"]["data"]
    assert [len(records), len(records[0]["error_message"])] == [2, 300]
    assert SECRET not in json.dumps(data)
    assert data["anomalies"] == {"anomaly": None}
    assert data["connections"]["used"] >= 1
    assert data["doctor"]["healthy"]
    assert all(len(json.dumps(answer)) < 20_000 for answer in data.values())


def test_each_tool_answers_with_json(url: str) -> None:
    from tracker.cli.mcp_tools import TOOLS, UsageTools

    assert set(TOOLS) == EXPECTED
    reader = Reader(Database(clean(url), embedded=False, settings=settings.load({})))
    tools = UsageTools(reader)
    try:
        answers = {name: getattr(tools, name)() for name in TOOLS if name != "doctor"}
        assert [row["calls"] for row in answers["usage"]["data"]] == [5, 5]
        assert SECRET not in json.dumps(answers, allow_nan=False)
        assert tools.usage(["user"], max_rows=1)["has_more_rows"] is False
        for arguments in ({"max_rows": 0}, {"max_rows": 201}, {"timezone": "Mars"}, {"last": "x"}):
            with pytest.raises(SettingError):
                tools.usage(**arguments)
    finally:
        reader.close()


def test_without_the_sdk_the_command_names_the_extra(url: str, capsys, monkeypatch) -> None:
    monkeypatch.setenv("DATABASE_URL", url)
    monkeypatch.setattr("tracker.cli.commands.mcp.find_spec", lambda name: None)
    assert main(["mcp"]) == 2
    assert "pip install 'token-tracker[mcp]'" in capsys.readouterr().err
