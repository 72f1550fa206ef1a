"""Transactions: a block that commits or rolls back, and a read-only block with one snapshot."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from tracker.database.connect import Connection, Parameters, execute


@contextmanager
def transaction(
    connection: Connection,
    modes: str = "",
    first_statements: str = "",
    parameters: Parameters = None,
    *,
    commits: bool = True,
) -> Iterator[None]:
    """Run the block in one transaction: an exception rolls it back, and so does its end unless `commits`.

    `modes` follow BEGIN. `first_statements`, such as SET LOCAL, run in the same round trip; their settings end with the
    transaction, also behind a transaction pooler. Raises `DatabaseError`.
    """
    try:
        execute(connection, f"BEGIN {modes}; {first_statements}", parameters)
        yield
        execute(connection, "COMMIT" if commits else "ROLLBACK")
    except BaseException:
        if not connection.closed:
            execute(connection, "ROLLBACK")
        raise


@contextmanager
def read_only_snapshot(connection: Connection, timeout_s: int = 15) -> Iterator[None]:
    """A read-only transaction in which all statements read the same snapshot. Raises `DatabaseError`."""
    limits = f"SET LOCAL statement_timeout = '{timeout_s}s'; SET LOCAL jit = off"
    with transaction(connection, "ISOLATION LEVEL REPEATABLE READ READ ONLY", limits, commits=False):
        yield
