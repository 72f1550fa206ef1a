"""Captures of real instrumentations give the rows that the provider's answers call for, however they are exported."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from replay import CASES, Dashboard, differences, export, load, parts

PATHS = sorted(CASES.glob("*.json"))
assert PATHS, "there are no captures"
Window = Callable[[float], float]


def send(dashboard: Dashboard, spans: list[dict[str, Any]], salt: str, shift_ns: int) -> None:
    body = json.dumps(export(spans, salt, shift_ns)).encode()
    request = urllib.request.Request(dashboard.endpoint, body, {"content-type": "application/json"})
    with urllib.request.urlopen(request, timeout=30) as response:
        assert response.status == 200
        assert json.loads(response.read()) == {}


@pytest.mark.parametrize("how", ["twice", "in_parts"])
@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)
def test_rows_are_what_was_answered(dashboard: Dashboard, next_window_s: Window, path: Path, how: str) -> None:
    case = load(path)
    spans = case["spans"]
    if not spans:
        assert all("call" in item["lacks"] or "usage" in item["lacks"] for item in case["expected"])
        return
    start_ns, end_ns = min(span["start_ns"] for span in spans), max(span["end_ns"] for span in spans)
    duration_s = (end_ns - start_ns) / 1e9
    begins_s = next_window_s(duration_s)
    shift_ns = int(begins_s * 1e9) - start_ns
    exports = [spans, spans] if how == "twice" else list(parts(spans))
    for some in exports:
        send(dashboard, some, f"{path.stem}/{how}", shift_ns)
    rows = dashboard.rows(begins_s - 1, begins_s + duration_s + 1)
    assert differences(case, rows) == []
