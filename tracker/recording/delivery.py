"""One record's way into the database: attempts, each within what is left of one deadline."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from tracker.database.driver import elapsed_ms
from tracker.database.pool import ConnectionPool, Lease
from tracker.errors import DatabaseError, SetupError, TransientError
from tracker.recording.statement import Target, insert

# Full jitter: each wait is drawn from zero to a bound that doubles.
_FIRST_WAIT_S = 0.1
_LONGEST_WAIT_S = 2.0
# The states of a session that a statement can put right for itself, in its own transaction: another client of the
# pooler left it read-only, or with a time limit of its own.
_CURABLE = {"25006", "57014"}


@dataclass(slots=True)
class Attempts:
    """What delivering one record took, filled in as it goes."""

    retry_count: int = 0
    connection_ms: float | None = None
    write_ms: float | None = None
    error: DatabaseError | None = None


class Delivery:
    """Writes rows through a pool, trying again what passes."""

    def __init__(self, pool: ConnectionPool, schema: str | None, max_retries: int) -> None:
        self._pool = pool
        self._schema = schema
        self._max_retries = max_retries
        self._target: Target | None = None

    def deliver(self, row: Mapping[str, Any], deadline: float, attempts: Attempts) -> bool:
        """Store the row before `deadline` (`time.monotonic`); False when its id was there.

        Raises the `DatabaseError` of the last attempt. The first attempt stands alone: the retry library is
        imported only once something has gone wrong.
        """
        try:
            return self._attempt(row, deadline, attempts)
        except TransientError as error:
            attempts.error = error
            if self._max_retries == 0:
                raise
        return self._again(lambda: self._attempt(row, deadline, attempts), deadline, attempts)

    def _again(self, attempt: Callable[[], bool], deadline: float, attempts: Attempts) -> bool:
        from tenacity import Retrying, retry_if_exception_type, stop_after_attempt, stop_before_delay
        from tenacity.wait import wait_random_exponential

        first_wait = random.uniform(0, _FIRST_WAIT_S)  # noqa: S311  jitter is no secret
        left = deadline - time.monotonic() - first_wait
        if left <= 0:
            raise attempts.error or AssertionError("a retry follows an error")
        time.sleep(first_wait)
        retrying = Retrying(
            retry=retry_if_exception_type(TransientError),
            stop=stop_after_attempt(self._max_retries) | stop_before_delay(left),
            wait=wait_random_exponential(multiplier=_FIRST_WAIT_S * 2, max=_LONGEST_WAIT_S),
            reraise=True,
        )
        for state in retrying:
            with state:
                attempts.retry_count += 1
                return attempt()
        raise AssertionError("tenacity returns or raises")

    def _attempt(self, row: Mapping[str, Any], deadline: float, attempts: Attempts) -> bool:
        attempts.connection_ms = attempts.write_ms = None
        lease = self._pool.acquire(deadline)
        try:
            attempts.connection_ms = lease.connection_ms
            with lease.deadline(deadline):
                cure = _cure(attempts.error, deadline)
                target = self._target or self._learn(lease, cure)
                started = time.perf_counter()
                filled = {**row, "connection_ms": lease.connection_ms, "retry_count": attempts.retry_count}
                new = insert(lease.connection, target, filled, cure)
            attempts.write_ms = elapsed_ms(started)
        except DatabaseError as error:
            attempts.error = _late() if lease.deadline.fired else error
            if isinstance(error, SetupError):
                self._target = None  # the table may have changed: look again
            raise attempts.error from None
        finally:
            self._pool.release(lease)
        return new

    def _learn(self, lease: Lease, cure: str) -> Target:
        # Several threads may ask at first: cheaper than a lock, which a fork or a hanging server would leave held.
        self._target = target = Target.read(lease.connection, self._schema, cure)
        return target


def _late() -> TransientError:
    return TransientError(
        "deadline",
        "The database didn't answer within the record's deadline.",
        "See token_usage locks and the network.",
    )


def _cure(error: DatabaseError | None, deadline: float) -> str:
    """For a session that another client left in a bad state: settings for this one transaction alone."""
    if error is None or error.sqlstate not in _CURABLE:
        return ""
    left_ms = max(1, int((deadline - time.monotonic()) * 1000))
    return f"SET LOCAL statement_timeout = {left_ms}; SET TRANSACTION READ WRITE; "
