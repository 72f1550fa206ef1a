"""The migrations by version; each is one SQL file."""

from __future__ import annotations

import re
from pathlib import Path

_FOLDER = Path(__file__).parent
# Version 1 creates or adopts token_usage, version 2 builds its indexes; the others run their file.
FILES = {
    3: "ledger_and_alerts",
    4: "rollups",
    5: "budgets",
    6: "spans",
    7: "user_days",
    8: "span_calls",
    9: "unpriced_rollup",
    10: "prices",
    11: "deployments",
    12: "samples",
    13: "saved_views",
    16: "property_budgets",
}
VERSIONS = (1, 2, *FILES)


def step_text(version: int, name: str) -> str:
    """The SQL text of a version."""
    return (_FOLDER / f"{version:04}_{name}.sql").read_text(encoding="utf-8")


def tables_created_by(version: int, name: str) -> set[str]:
    """The tables that the file of a version creates."""
    return set(re.findall(r"CREATE TABLE IF NOT EXISTS (\w+)", step_text(version, name)))
