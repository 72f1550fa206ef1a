"""What the pages may add and take away again: sample calls and test recordings, nothing else."""

from __future__ import annotations

from tracker.maintenance import sample_data
from tracker.reports.engine.reader import Reader
from tracker.rollups.invalidation import execute_and_invalidate


def add_samples(reader: Reader, days: int = 30) -> int:
    """Put sample calls in place of earlier ones; how many there are then. Raises `DatabaseError`."""
    with reader.borrow() as connection:
        return sample_data.add(connection, reader.database.url.schema, days=days)


def remove_samples(reader: Reader) -> int:
    """Remove the sample calls; how many there were. Raises `DatabaseError`."""
    with reader.borrow() as connection:
        return sample_data.remove(connection, reader.database.url.schema)


def remove_tests(reader: Reader) -> int:
    """Remove the test recordings; how many there were. Raises `DatabaseError`."""
    with reader.borrow() as connection:
        deletion = "DELETE FROM {table} AS calls WHERE is_test"
        return execute_and_invalidate(connection, reader.database.url.schema, deletion, ledger_kind="removed")
