"""The properties of the newest calls: the keys of `metadata` with their number of calls and their frequent values."""

from __future__ import annotations

from dataclasses import dataclass

from tracker.errors import DatabaseError
from tracker.reports.engine.reader import Reader

SAMPLE_CALLS = 1_000
"""The newest calls whose keys are read. 300 keys in each of them take about a second."""
TIME_LIMIT_MS = 3_000
MAX_KEYS = 500
MAX_VALUES = 20
MAX_VALUE_CHARS = 1_000
"""Longer values are not offered as choices; the calls that have them can be filtered from their details."""
_MIN_HIGH_CARDINALITY = 20
_HIGH_CARDINALITY_SHARE = 0.8


@dataclass(frozen=True, slots=True)
class Property:
    """A key with its calls and distinct values in the sample, and its most frequent `values`.

    With `is_list`, a call counts under each element of its list.
    """

    key: str
    calls: int
    distinct_values: int
    is_list: bool
    values: tuple[str, ...]

    @property
    def has_high_cardinality(self) -> bool:
        """Whether nearly every call has its own value, as the id of a request has."""
        enough = self.distinct_values > _MIN_HIGH_CARDINALITY
        return enough and self.distinct_values >= _HIGH_CARDINALITY_SHARE * self.calls


@dataclass(frozen=True, slots=True)
class PropertyList:
    """The properties, the most frequent first, those of high cardinality last.

    `is_complete` is False if the time limit ended the query, or if there are more than `MAX_KEYS` keys.
    """

    properties: tuple[Property, ...] = ()
    is_complete: bool = True

    def find(self, key: str) -> Property | None:
        """The property of a key; None if the sample does not contain it."""
        return next((entry for entry in self.properties if entry.key == key), None)


def read_properties(reader: Reader, *, include_tests: bool = False) -> PropertyList:
    """The properties of the newest `SAMPLE_CALLS` calls. Raises `DatabaseError`."""
    parameters = {
        "include_tests": include_tests,
        "sample_calls": SAMPLE_CALLS,
        "value_count": MAX_VALUES,
        "value_chars": MAX_VALUE_CHARS,
        "count": MAX_KEYS + 1,
    }
    try:
        rows = reader.rows("property_choices", parameters, timeout_ms=TIME_LIMIT_MS)
    except DatabaseError as error:
        if error.code != "statement_timeout":
            raise
        return PropertyList(is_complete=False)
    found = [
        Property(row["key"], row["calls"], row["distinct_values"], row["is_list"], tuple(row["top_values"] or ()))
        for row in rows[:MAX_KEYS]
    ]
    # Stable: among keys of one kind, the order of the query remains.
    return PropertyList(tuple(sorted(found, key=lambda entry: entry.has_high_cardinality)), len(rows) <= MAX_KEYS)
