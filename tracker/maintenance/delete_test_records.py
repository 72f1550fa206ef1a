"""Adds and removes sample data, and removes test calls, for the pages."""

from __future__ import annotations

from collections.abc import Callable

from tracker.maintenance import sample_data
from tracker.reports.engine.reader import Reader
from tracker.rollups.invalidation import execute_and_invalidate


def add_samples(reader: Reader, progress: Callable[[float], None]) -> int:
    """Add the sample data that is not stored yet; returns the number of calls. Raises `DatabaseError`.

    `progress` is called with the completed share, 0 to 1.
    """
    with reader.borrow() as connection:
        return sample_data.add(connection, reader.database.url.schema, progress=progress)


def remove_samples(reader: Reader) -> int:
    """Remove the sample data; returns the number of calls. Raises `DatabaseError`."""
    with reader.borrow() as connection:
        return sample_data.remove(connection, reader.database.url.schema)


def count_tests(reader: Reader) -> int:
    """The number of test calls in the table. Raises `DatabaseError`."""
    return int(reader.rows("test_rows")[0]["records"])


def remove_tests(reader: Reader) -> int:
    """Remove the test calls; returns their number. Raises `DatabaseError`."""
    with reader.borrow() as connection:
        deletion = "DELETE FROM {table} AS calls WHERE is_test"
        return execute_and_invalidate(connection, reader.database.url.schema, deletion, ledger_kind="removed")
