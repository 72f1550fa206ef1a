"""Which values can a reader filter by?"""

from __future__ import annotations

from tracker.reports.engine.reader import Reader

COLUMNS = ("model", "provider", "operation", "user", "environment")
"""The columns of `Filters`, in the order in which people ask for them."""


def choices(reader: Reader, *, include_tests: bool = False) -> tuple[tuple[str, str], ...]:
    """Pairs of a column of `COLUMNS` and a value of it, the most used of the newest calls first."""
    found = reader.rows("choices", {"include_tests": include_tests})
    pairs = [(str(row["name"]), str(row["value"])) for row in found]
    return tuple(sorted(pairs, key=lambda pair: COLUMNS.index(pair[0])))
