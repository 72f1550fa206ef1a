"""What the pages may add and take away again: sample calls and test recordings, nothing else."""

from __future__ import annotations

from tracker import sample
from tracker.recording.ledger import delete_and_note
from tracker.recording.statement import Target
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
    with reader.borrow() as connection:
        target = Target.read(connection, reader.database.url.schema)
        return delete_and_note(connection, target, "removed", "is_test")
