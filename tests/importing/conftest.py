"""Fixtures of the tests of imports: files in a fresh working directory, and the command that imports them."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tracker.cli import main


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    """Writes a file into a fresh working directory: text as it is, records as CSV or JSON by the file's name."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))

    def write(content: Any, name: str = "calls.csv") -> str:
        path = tmp_path / name
        if isinstance(content, str | bytes):
            path.write_bytes(content if isinstance(content, bytes) else content.encode())
        elif name.endswith(".csv"):
            names = list(dict.fromkeys(key for row in content for key in row))
            with path.open("w", newline="") as file:
                writer = csv.DictWriter(file, names)
                writer.writeheader()
                writer.writerows(
                    {k: json.dumps(v) if isinstance(v, dict) else v for k, v in r.items()} for r in content
                )
        elif name.endswith(".jsonl"):
            path.write_text("".join(json.dumps(row) + "\n" for row in content))
        else:
            path.write_text(json.dumps(content, indent=2))
        return name

    return write


@pytest.fixture
def load(monkeypatch: pytest.MonkeyPatch, database_url: str) -> Callable[..., int]:
    """Runs `token-tracker import` on the fresh, migrated database."""
    monkeypatch.setenv("DATABASE_URL", database_url)
    return lambda *arguments: main(["import", *map(str, arguments)])
