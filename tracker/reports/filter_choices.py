"""The values that the page filters offer."""

from __future__ import annotations

from tracker.reports.engine.reader import Reader

COLUMNS = ("model", "provider", "operation", "user", "environment")
"""The columns of `Filters`, in display order."""


def choices(reader: Reader, *, include_tests: bool = False) -> tuple[tuple[str, str], ...]:
    """Pairs of a column of `COLUMNS` and one of its values, the most frequent values of the newest calls first."""
    rows = reader.rows("filter_choices", {"include_tests": include_tests})
    pairs = [(str(row["name"]), str(row["value"])) for row in rows]
    return tuple(sorted(pairs, key=lambda pair: COLUMNS.index(pair[0])))
