"""The report queries: one `.sql` file per query. Each file starts with the question it answers and runs in psql."""

from __future__ import annotations

from tracker.database import sql_file
from tracker.database.sql_file import Query


def load(name: str) -> Query:
    """The query of `<name>.sql`."""
    return sql_file.load(__name__, name)
