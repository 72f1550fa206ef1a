"""Records' way into the database: attempts, each within what is left of one deadline."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from tracker.database.connect import elapsed_ms
from tracker.database.pool import ConnectionPool, Lease
from tracker.errors import DatabaseError, RecordError, SetupError, TransientError
from tracker.recording.insert import (
    DeliveryInfo,
    InsertResult,
    Target,
    find_missing_ids,
    insert,
    insert_each,
    insert_queued,
    is_stored,
)
from tracker.recording.outbox.refusal_frequency import RefusedKinds
from tracker.recording.record_log import warn_once
from tracker.threads import fork_guard

T = TypeVar("T")
Work = Callable[[Lease, Target, str], T]

# Full jitter: each wait is drawn from zero to a bound that doubles.
_FIRST_WAIT_S = 0.1
_LONGEST_WAIT_S = 2.0
# The states of a session that a statement can put right for itself, in its own transaction: another client of the
# pooler left it read-only, or with a time limit of its own.
_CURABLE = {"25006", "57014"}
# A refusal may mean that the table changed: it is read again, but not for each of many bad records.
_READ_AGAIN_S = 10.0
_VALUE_CLASSES = ("22", "23")


class DeliveryAttempts:
    """What delivering one record took, filled in as it goes."""

    __slots__ = ("connection_ms", "error", "retry_count", "write_ms")

    def __init__(self) -> None:
        self.retry_count = 0
        self.connection_ms: float | None = None
        self.write_ms: float | None = None
        self.error: DatabaseError | None = None


class Delivery:
    """Writes rows through a pool, trying again what passes."""

    def __init__(self, pool: ConnectionPool, schema: str | None, max_retries: int) -> None:
        self._pool = pool
        self._schema = schema
        self._max_retries = max_retries
        self._target: Target | None = None
        self._read_again_at = float("-inf")
        self.refused_kinds = RefusedKinds()

    def deliver(
        self,
        row: Mapping[str, Any],
        deadline: float,
        attempts: DeliveryAttempts,
        *,
        once: bool = False,
        entries: Sequence[dict[str, Any]] = (),
    ) -> bool:
        """Store the row before `deadline` (`time.monotonic`); False when its id belongs to another record.

        `entries` are lines for the ledger that it must have before this row. Raises the `DatabaseError` of the last
        attempt. The first attempt stands alone: the retry library is
        imported only once something has gone wrong.
        """

        def write(lease: Lease, target: Target, cure: str) -> bool:
            if entries:
                self._write_entries(lease, target, entries)
            filled = {**row, "connection_ms": lease.connection_ms, "retry_count": attempts.retry_count}
            if insert(lease.connection, target, filled, cure):
                return True
            # An attempt whose answer was lost may have stored it, or the table's own trigger; or nobody did.
            return is_stored(lease.connection, target, row)

        try:
            return self._attempt(write, deadline, attempts)
        except TransientError:
            if once or self._max_retries == 0:
                raise
        return self._again(lambda: self._attempt(write, deadline, attempts), deadline, attempts)

    def _write_entries(self, lease: Lease, target: Target, entries: Sequence[dict[str, Any]]) -> None:
        with fork_guard.importing:
            from tracker.recording.loss_ledger import write_entries_if_allowed
        try:
            write_entries_if_allowed(lease.connection, target, entries)
        except SetupError as error:
            _warn_ledger_unwritable(error)

    def deliver_queued(
        self, documents: Sequence[str], delivery_info: DeliveryInfo, deadline: float, attempts: DeliveryAttempts
    ) -> int:
        """Store records that waited, in one statement and one attempt; how many were new. Raises `DatabaseError`."""

        def write(lease: Lease, target: Target, cure: str) -> int:
            timed = delivery_info._replace(connection_ms=lease.connection_ms)
            return insert_queued(lease.connection, target, documents, timed, cure)

        return self._attempt(write, deadline, attempts)

    def deliver_one_by_one(
        self, documents: Sequence[str], delivery_info: DeliveryInfo, deadline: float, attempts: DeliveryAttempts
    ) -> InsertResult:
        """Store records that waited each by itself, in one statement. Raises `DatabaseError`."""

        def write(lease: Lease, target: Target, cure: str) -> InsertResult:
            timed = delivery_info._replace(connection_ms=lease.connection_ms)
            return insert_each(lease.connection, target, documents, timed, cure)

        return self._attempt(write, deadline, attempts)

    def find_missing_ids(self, ids: Sequence[str], deadline: float) -> set[str]:
        """Which of these ids have no row, though their inserts were taken. Raises `DatabaseError`."""
        return self._attempt(
            lambda lease, target, _: find_missing_ids(lease.connection, target, ids), deadline, DeliveryAttempts()
        )

    def run_once(self, work: Callable[[Any, Target], None], deadline: float) -> None:
        """Tell about records on one of the connections, once. Raises `DatabaseError`.

        A ledger that this role may not write to stands in no record's way: it is said once, and forgotten.
        """
        try:
            self._attempt(lambda lease, target, _: work(lease.connection, target), deadline, DeliveryAttempts())
        except SetupError as error:
            _warn_ledger_unwritable(error)

    def _again(self, attempt: Callable[[], T], deadline: float, attempts: DeliveryAttempts) -> T:
        with fork_guard.importing:
            import random

            from tenacity import Retrying, retry_if_exception_type, stop_after_attempt, stop_before_delay

        dice = random.Random()  # noqa: S311  jitter is no secret; the host may have seeded Python's own
        first_wait = dice.uniform(0, _FIRST_WAIT_S)
        left = deadline - time.monotonic() - first_wait
        if left <= 0:
            raise attempts.error.copy() if attempts.error else AssertionError("a retry follows an error")
        time.sleep(first_wait)
        retrying = Retrying(
            retry=retry_if_exception_type(TransientError),
            stop=stop_after_attempt(self._max_retries) | stop_before_delay(left),
            wait=lambda state: dice.uniform(0, min(_LONGEST_WAIT_S, _FIRST_WAIT_S * 2**state.attempt_number)),
            reraise=True,
        )
        for state in retrying:
            with state:
                attempts.retry_count += 1
                return attempt()
        raise AssertionError("tenacity returns or raises")

    def _attempt(self, work: Work[T], deadline: float, attempts: DeliveryAttempts) -> T:
        attempts.connection_ms = attempts.write_ms = None
        target = self._target
        try:
            lease = self._pool.acquire(deadline)
        except DatabaseError as error:
            attempts.error = error.copy()
            raise
        try:
            attempts.connection_ms = lease.connection_ms
            with lease.deadline(deadline):
                cure = _cure(attempts.error, deadline)
                target = target or self._read_target(lease, cure)
                started = time.perf_counter()
                result = work(lease, target, cure)
            attempts.write_ms = elapsed_ms(started)
        except DatabaseError as error:
            attempts.error = _deadline_error() if lease.deadline.fired else error.copy()
            if isinstance(error, SetupError):
                self._target = None  # the table may have changed: look again
            self._pool.release(lease)
            if not self._should_reread_table(attempts.error, target):
                raise attempts.error.copy() from None
            return self._attempt(work, deadline, attempts)
        except BaseException:
            self._pool.discard(lease)
            raise
        self._pool.release(lease)
        return result

    def _should_reread_table(self, error: DatabaseError, used: Target | None) -> bool:
        """Whether a refusal is worth one more attempt, with the table as it is now."""
        if not isinstance(error, RecordError) or not (error.sqlstate or "").startswith(_VALUE_CLASSES):
            return False
        if self._target is not used and self._target is not None:
            return True  # another thread has read it since
        now = time.monotonic()
        if now - self._read_again_at < _READ_AGAIN_S:
            return False
        self._read_again_at = now
        self._target = None
        return True

    def _read_target(self, lease: Lease, cure: str) -> Target:
        # Several threads may ask at first: cheaper than a lock, which a fork or a hanging server would leave held.
        self._target = target = Target.read(lease.connection, self._schema, cure)
        return target


def _warn_ledger_unwritable(error: SetupError) -> None:
    """Say once that the ledger can't be written; another error is raised."""
    if error.code != "right_missing":
        raise error.copy() from None
    warn_once(f"The loss ledger can't be told about records. {error}")


def _deadline_error() -> TransientError:
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
