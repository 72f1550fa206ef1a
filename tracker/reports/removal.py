"""What the pages may add and take away again: sample calls and test recordings, nothing else."""

from __future__ import annotations

from tracker import sample
from tracker.database.driver import execute
from tracker.database.table import DEFAULT_SCHEMA
from tracker.reports.engine import Reader


def add_samples(reader: Reader, days: int = 30) -> int:
    """Put sample calls in place of earlier ones; how many there are then. Raises `DatabaseError`."""
    with reader.borrow() as connection:
        return sample.add(connection, reader.database.url.schema, days=days)


def remove_samples(reader: Reader) -> int:
    """Remove the sample calls; how many there were. Raises `DatabaseError`."""
    with reader.borrow() as connection:
        return sample.remove(connection, reader.database.url.schema)


def remove_tests(reader: Reader) -> int:
    """Remove the test recordings; how many there were. Raises `DatabaseError`."""
    schema = (reader.database.url.schema or DEFAULT_SCHEMA).replace('"', '""')
    with reader.borrow() as connection:
        count, _ = execute(connection, f'DELETE FROM "{schema}".token_usage WHERE is_test')  # noqa: S608 - a quoted name
        return count
