"""docs/sources.md lists every captured library with what is read of it, and nothing else."""

from __future__ import annotations

import re

from replay import CASES, load
from support_table import DOCS, HEADING, table


def test_the_table_is_that_of_the_captures() -> None:
    _, heading, section = DOCS.read_text().partition(HEADING)
    assert heading + section == table(map(load, sorted(CASES.glob("*.json")))), (
        "run PYTHONPATH=tests python tests/instrumentations/support_table.py"
    )


def test_captures_are_small_and_name_nothing_of_a_machine() -> None:
    for path in CASES.glob("*.json"):
        text = path.read_text()
        assert len(text) <= 30_000, path.name
        assert not re.search(r"/(work|root|tmp|home|Users)/|site-packages", text), path.name
