"""Whoever changes the rollups does it alone: the lock of the state's one row, for one transaction."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from tracker.database.connect import Connection, execute
from tracker.database.schema import Table
from tracker.errors import TransientError
from tracker.rollups.rollup_tables import STATE, qualified

T = TypeVar("T")

IDLE_S = 30


def _busy() -> TransientError:
    return TransientError("refreshing", "Somebody else is refreshing the rollups.", "It passes by itself.")


_WAIT_S = 120.0


@contextmanager
def locked(connection: Connection, table: Table, isolation: str = "READ COMMITTED") -> Iterator[bool]:
    """A transaction that alone may change the rollups; False when somebody else is at it."""
    state = qualified(table, STATE)
    try:
        # The limits end with the transaction. What takes its time here is never a reader's question.
        execute(
            connection,
            f"BEGIN ISOLATION LEVEL {isolation}; SET LOCAL lock_timeout = '3s'; SET LOCAL statement_timeout = '10min';"
            # Of a process that was frozen, or cut off, the lock must not stay.
            f" SET LOCAL idle_in_transaction_session_timeout = '{IDLE_S}s';"
            " SET LOCAL work_mem = '64MB'; SET LOCAL jit = off",
        )
        _, rows = execute(connection, f"SELECT one FROM {state} FOR UPDATE SKIP LOCKED")  # noqa: S608  our own name
        yield bool(rows)
        execute(connection, "COMMIT")
    except BaseException:
        if not connection.closed:
            execute(connection, "ROLLBACK")
        raise


def patiently(work: Callable[[], T | None]) -> T:
    """Do it again while somebody else is at the rollups. Raises `DatabaseError`."""
    end = time.monotonic() + _WAIT_S
    while True:
        try:
            if (step := work()) is not None:
                return step
        except TransientError as error:
            if error.code not in {"conflict", "deadlock", "locked"} or time.monotonic() >= end:
                raise
        if time.monotonic() >= end:
            raise _busy()
        time.sleep(0.1)
