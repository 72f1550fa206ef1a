"""The table of tested instrumentations in docs/sources.md. Update it with
`PYTHONPATH=tests python tests/instrumentations/support_table.py`.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from replay import CASES, load

DOCS = Path(__file__).parent.parent.parent / "docs" / "sources.md"
HEADING = "## Tested instrumentations\n"
INTRODUCTION = """
Each line was captured from the library with its provider's client, and each capture is a test: its rows have the counts
that the provider answered. The third column names what was captured; the fourth what the rows contain; the fifth what
the library's spans do not state (in brackets: in which captures). What the spans do not state, the row does not have.

| library | version | captured | read | not in the spans |
| --- | --- | --- | --- | --- |
"""
# What a part is called in the table, in the order of its columns.
WORDS = {
    "input_tokens": "input",
    "output_tokens": "output",
    "cache_read_input_tokens": "cache reads",
    "cache_write_input_tokens": "cache writes",
    "details": "1-hour writes",
    "reasoning_output_tokens": "reasoning",
    "user_id": "user",
    "session_id": "session",
    "operation": "operation",
    "error": "failures",
}
ONLY_LACKING = {"call": "calls", "usage": "usage", "model": "the answering model"}
Case = Mapping[str, Any]


def table(cases: Iterable[Case]) -> str:
    """The section's text: its heading, what the columns mean, and a line for each library and version."""
    groups: dict[tuple[str, str], list[Case]] = {}
    for case in cases:
        groups.setdefault((case["library"], case["version"]), []).append(case)
    return HEADING + INTRODUCTION + "".join(_line(*key, groups[key]) for key in sorted(groups))


def _line(library: str, version: str, cases: list[Case]) -> str:
    captured = ", ".join(case["scenario"].replace("_", " ") for case in cases)
    read = [
        word for part, word in WORDS.items() if any(_has(item, part) for case in cases for item in case["expected"])
    ]
    lacking = [_lacking(part, word, cases) for part, word in (WORDS | ONLY_LACKING).items()]
    stated = sorted({sentence for case in cases for sentence in case["lacks"]})
    missing = "; ".join([*filter(None, lacking), *stated]) or "–"
    return f"| {library} | {version} | {captured} | {', '.join(read)} | {missing} |\n"


def _has(item: Mapping[str, Any], part: str) -> bool:
    if part == "error":
        return not item["success"] and "error" not in item.get("lacks", ())
    lacks = item.get("lacks", ())
    return bool(item.get(part)) and part not in lacks and "call" not in lacks


def _lacking(part: str, word: str, cases: list[Case]) -> str:
    """The word for a part that spans lack, with the captures where they do; "" where they never do."""
    without = [
        case["scenario"].replace("_", " ") for case in cases if any(_lacks(item, part) for item in case["expected"])
    ]
    elsewhere = any(_has(item, part) for case in cases for item in case["expected"])
    if not without:
        return ""
    return f"{word} ({', '.join(without)})" if elsewhere or part in ONLY_LACKING else word


def _lacks(item: Mapping[str, Any], part: str) -> bool:
    # A failed call has no usage; that its spans have none is no lack.
    return part in item.get("lacks", ()) and (item["success"] or part != "usage")


def main() -> int:
    """Write the section at the end of the document."""
    text = DOCS.read_text().partition(HEADING)[0].rstrip("\n")
    DOCS.write_text(f"{text}\n\n{table(map(load, sorted(CASES.glob('*.json'))))}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
