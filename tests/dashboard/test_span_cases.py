"""The captured spans, sent twice to the running dashboard: one row per call, as the API answered, with its price."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest
from dashboard_support import Server
from span_cases import Case, captured_cases, count_cases
from support import python, rows

from tracker.usage import TOKEN_COLUMNS

TOKEN = "a-token-of-the-tests"
CAPTURED, COUNTED = captured_cases(), count_cases()
# The file lists the answer of its first span only; the second one is that of an agent.
MORE_ROWS = {"02-openinference-langchain": [(1036, 236, 512, 0, 0)]}


def post(server: Server, body: dict[str, Any]) -> tuple[int, Any]:
    request = urllib.request.Request(
        server.url + "/v1/traces",
        data=json.dumps(body).encode(),
        headers={"content-type": "application/json", "authorization": f"Bearer {TOKEN}"},
    )
    with urllib.request.urlopen(request, timeout=30) as response:
        return response.status, json.loads(response.read())


@pytest.fixture
def sent(start_dashboard: Callable[..., Server], database_url: str) -> str:
    """The database after each case was sent twice and every call was priced."""
    server = start_dashboard(database_url, TRACKER_DEBUG_TOKEN=TOKEN)
    for case in (*CAPTURED, *COUNTED):
        for _ in range(2):
            assert post(server, case.export) == (200, {}), case.name
    reprice = python("-m", "tracker", "reprice", env={"DATABASE_URL": database_url})
    assert reprice.returncode == 0, reprice.stderr
    assert server.unforeseen() == ""
    return database_url


def stored(url: str, case: Case) -> list[dict[str, Any]]:
    """The rows of a case's traces."""
    columns = (*TOKEN_COLUMNS, "cost", "model", "provider", "success", "error_message", "metadata")
    found = rows(
        url,
        f"SELECT {', '.join(columns)} FROM token_usage WHERE metadata ->> 'trace_id' = ANY (%(traces)s)",
        {"traces": sorted(case.traces)},
    )
    return [dict(zip(columns, row, strict=True)) for row in found]


def test_each_captured_call_is_one_row_and_each_reported_one_has_its_price(sent: str) -> None:
    wrong = {}
    for case in CAPTURED:
        expected = sorted(
            [*(tuple(entry[name] for name in TOKEN_COLUMNS) for entry in case.expected), *MORE_ROWS.get(case.name, [])]
        )
        found = sorted(tuple(row[name] for name in TOKEN_COLUMNS) for row in stored(sent, case))
        if found != expected:
            wrong[case.name] = (found, expected)
    for case in COUNTED:
        (expected,) = case.expected
        found = stored(sent, case)
        if [_compared(row, expected) for row in found] != [_as_compared(expected)]:
            wrong[case.name] = (found, expected)
    assert wrong == {}
    (failure,) = stored(sent, next(case for case in CAPTURED if case.name.startswith("17-failed")))
    assert (failure["success"], failure["model"], failure["provider"]) == (False, "gpt-4o-mini", "openai")
    assert "AI_APICallError: Boom ***" in failure["error_message"]


def _compared(row: dict[str, Any], expected: dict[str, Any]) -> dict[str, Any]:
    details = {"details": row["metadata"].get("usage", {})} if "details" in expected else {}
    return {name: row[name] for name in expected if name != "details"} | details


def _as_compared(expected: dict[str, Any]) -> dict[str, Any]:
    return {name: Decimal(value) if name == "cost" else value for name, value in expected.items()}
