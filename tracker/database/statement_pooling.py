"""Detects poolers in statement mode: each statement is a transaction, and BEGIN ends the connection."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing

from tracker.database.connect import Connection, execute
from tracker.errors import DatabaseError, SetupError
from tracker.messages import Message

_ATTEMPTS = 2


def refuses_transactions(connect: Callable[[], Connection]) -> bool:
    """Whether two connections in sequence run a statement and are lost at BEGIN; two failures exclude a coincidence."""
    try:
        return all(_is_lost_at_begin(connect) for _ in range(_ATTEMPTS))
    except DatabaseError:
        return False


def _is_lost_at_begin(connect: Callable[[], Connection]) -> bool:
    with closing(connect()) as connection:
        execute(connection, "SELECT 1", alone=True)
        try:
            # Some poolers end the connection only after the response.
            execute(connection, "BEGIN", alone=True)
            execute(connection, "ROLLBACK", alone=True)
        except DatabaseError:
            return True
    return False


def explain() -> SetupError:
    """The error for work that needs transactions."""
    return SetupError(
        "statement_pooling", Message("database.statement_pooling"), Message("database.statement_pooling.remedy")
    )
