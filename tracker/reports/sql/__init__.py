"""The questions: one `.sql` file each, which opens with the question and runs as it is in psql."""

from __future__ import annotations

from tracker.database import sql_file
from tracker.database.sql_file import Query


def load(name: str) -> Query:
    """The SQL of `<name>.sql`."""
    return sql_file.load(__name__, name)
