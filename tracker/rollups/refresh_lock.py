"""The lock that lets one process at a time change the rollups: the row lock of the state row, for one transaction."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from tracker.database.connect import Connection, execute
from tracker.database.schema import Table
from tracker.database.transactions import transaction
from tracker.errors import TransientError
from tracker.messages import Message
from tracker.rollups.rollup_tables import STATE, qualified

T = TypeVar("T")

IDLE_IN_TRANSACTION_S = 30
_RETRY_FOR_S = 120.0
_RETRY_INTERVAL_S = 0.1


@contextmanager
def lock_rollups(connection: Connection, table: Table, isolation: str = "READ COMMITTED") -> Iterator[bool]:
    """A transaction that holds the lock; yields False if another process holds it."""
    state = qualified(table, STATE)
    settings = (
        "SET LOCAL lock_timeout = '3s'; SET LOCAL statement_timeout = '10min'; SET LOCAL work_mem = '64MB';"
        # The server ends the transaction, and so the lock, of a process that is suspended or disconnected.
        f" SET LOCAL idle_in_transaction_session_timeout = '{IDLE_IN_TRANSACTION_S}s'; SET LOCAL jit = off"
    )
    with transaction(connection, f"ISOLATION LEVEL {isolation}", settings):
        _, rows = execute(connection, f"SELECT one FROM {state} FOR UPDATE SKIP LOCKED")  # noqa: S608  our own name
        yield bool(rows)


def retry_while_locked(work: Callable[[], T | None]) -> T:
    """The result of `work`, repeated for up to two minutes while another process holds the lock (None).

    Raises `DatabaseError`.
    """
    deadline = time.monotonic() + _RETRY_FOR_S
    while True:
        try:
            if (result := work()) is not None:
                return result
        except TransientError as error:
            if error.code not in {"conflict", "deadlock", "locked"} or time.monotonic() >= deadline:
                raise
        if time.monotonic() >= deadline:
            raise TransientError("refreshing", Message("reports.refreshing"), Message("reports.readers_busy.remedy"))
        time.sleep(_RETRY_INTERVAL_S)
