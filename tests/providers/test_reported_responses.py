"""Responses from public bug reports of other trackers (tests/cases), stored through the public entry point."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from tracker import Tracker
from tracker.cli import main
from tracker.providers.responses import read

CASES = Path(__file__).parents[1] / "cases"
REPORTED = {
    path.stem: case
    for path in sorted((CASES / "counts").glob("*.json"))
    if (case := json.loads(path.read_text(encoding="utf-8")))["how"] in {"answer", "stream"}
}
COLUMNS = {
    "input": "input_tokens",
    "output": "output_tokens",
    "cache_read": "cache_read_input_tokens",
    "cache_write": "cache_write_input_tokens",
    "reasoning": "reasoning_output_tokens",
}


@pytest.mark.parametrize("name", REPORTED)
def test_a_reported_response_is_stored_with_its_counts_details_and_cost(name, database_url, stored, monkeypatch):
    case = REPORTED[name]
    with Tracker(database_url=database_url, mode="direct") as recorder:
        assert recorder.record_response(case["input"], **case["fields"]).error is None
    expected = dict(case["expected"])
    cost, details = expected.pop("cost", None), expected.pop("details", {})
    (row,) = stored()
    assert {column: row[column] for column in expected} == expected
    assert "usage_problem" not in row["metadata"]
    assert details.items() <= row["metadata"].get("usage", {}).items()
    if cost is not None:
        monkeypatch.setenv("DATABASE_URL", database_url)
        assert main(["reprice"]) == 0
        (row,) = stored()
        assert row["cost"] == Decimal(cost)


def test_langchains_cache_writes_by_time_to_live_are_counted():
    case = json.loads((CASES / "otlp" / "05-langchain-anthropic-cache-writes-lost.json").read_text(encoding="utf-8"))
    answer = read({"type": "ai", "usage_metadata": case["usage_metadata"]})
    expected: dict[str, Any] = case["expected"][0]["expected"]
    assert {name: answer.counts.get(column, 0) for name, column in COLUMNS.items()} == expected
