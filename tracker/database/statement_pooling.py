"""Poolers in statement mode: each statement is a transaction, and BEGIN ends the connection."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing

from tracker.database.connect import Connection, execute
from tracker.errors import DatabaseError, SetupError

REMEDY = "Set DATABASE_URL to the database's direct address for this command, or pool_mode = transaction at the pooler."
_TRIES = 2


def refuses_transactions(connect: Callable[[], Connection]) -> bool:
    """Whether connections answer a statement and are lost at BEGIN, twice: chance cuts no two at the same word."""
    try:
        return all(_loses_at_begin(connect) for _ in range(_TRIES))
    except DatabaseError:
        return False


def _loses_at_begin(connect: Callable[[], Connection]) -> bool:
    with closing(connect()) as connection:
        execute(connection, "SELECT 1", alone=True)
        try:
            # A pooler may end the connection only after the answer.
            execute(connection, "BEGIN", alone=True)
            execute(connection, "ROLLBACK", alone=True)
        except DatabaseError:
            return True
    return False


def explain() -> SetupError:
    """The error for work that needs transactions."""
    sentence = "The pooler is in statement mode, which takes no transactions: recording works there, this doesn't."
    return SetupError("statement_pooling", sentence, REMEDY)
