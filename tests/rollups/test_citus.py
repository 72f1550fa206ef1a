"""The code uses no statement that Citus refuses, so that tables can be distributed later without a redesign."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

SOURCES = Path(__file__).parents[2] / "tracker"
REFUSED = re.compile(
    r"\b(CREATE (OR REPLACE )?(CONSTRAINT )?TRIGGER|REFRESH MATERIALIZED VIEW|GROUPING *\(|GROUPING SETS"
    r"|LOCK TABLE|txid_current|pg_current_xact_id|xmin)\b",
    re.IGNORECASE,
)


def statements() -> Iterator[tuple[str, str]]:
    for path in sorted(SOURCES.rglob("*.sql")):
        for line in path.read_text(encoding="utf-8").splitlines():
            yield path.name, line.partition("--")[0]
    for path in sorted((SOURCES / "rollups").glob("*.py")):
        yield path.name, path.read_text(encoding="utf-8")


def test_no_statement_is_refused_by_citus() -> None:
    refused = [(name, match[0]) for name, text in statements() if (match := REFUSED.search(text))]
    assert refused == []


@pytest.mark.parametrize("form", ["create trigger t", "REFRESH MATERIALIZED VIEW v", "LOCK TABLE token_usage"])
def test_refused_statements_are_detected(form: str) -> None:
    assert REFUSED.search(form)
