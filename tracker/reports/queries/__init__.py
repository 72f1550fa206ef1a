"""The questions: one `.sql` file each, which opens with the question and runs as it is in psql."""

from __future__ import annotations

from tracker.database import question
from tracker.database.question import Question


def load(name: str) -> Question:
    """The SQL of `<name>.sql`."""
    return question.load(__name__, name)
