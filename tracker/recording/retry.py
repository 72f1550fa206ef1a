"""Delivers records to the database: retries transient errors within one deadline."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from tracker.database.connect import elapsed_ms
from tracker.database.pool import ConnectionPool, Lease
from tracker.errors import DatabaseError, RecordError, SetupError, TransientError
from tracker.forks import fork_guard
from tracker.messages import Message
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

T = TypeVar("T")
Work = Callable[[Lease, Target, str], T]

# Full jitter: each wait is random between zero and a bound that doubles.
_FIRST_WAIT_S = 0.1
_MAX_WAIT_S = 2.0
# Errors of a session that another client of the pooler left read-only or with a statement timeout. A transaction can
# override both settings for itself.
_RECOVERABLE_STATES = {"25006", "57014"}
# A refusal may mean that the table changed. It is read again, but at most once in this interval.
_REREAD_INTERVAL_S = 10.0
_VALUE_CLASSES = ("22", "23")


class DeliveryAttempts:
    """The retries, times, and last error of delivering one record; updated during delivery."""

    __slots__ = ("connection_ms", "error", "retry_count", "write_ms")

    def __init__(self) -> None:
        self.retry_count = 0
        self.connection_ms: float | None = None
        self.write_ms: float | None = None
        self.error: DatabaseError | None = None


class Delivery:
    """Writes rows through a connection pool and retries transient errors."""

    def __init__(self, pool: ConnectionPool, schema: str | None, max_retries: int) -> None:
        self._pool = pool
        self._schema = schema
        self._max_retries = max_retries
        self._target: Target | None = None
        self._reread_at = float("-inf")
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
        """Store the row before `deadline` (`time.monotonic`); returns False if its id belongs to another record.

        `entries` are ledger lines that must be written before this row. With `once` there is no retry. Raises the
        `DatabaseError` of the last attempt. The retry library is imported only after the first attempt has failed.
        """

        def write(lease: Lease, target: Target, session_settings: str) -> bool:
            if entries:
                self._write_entries(lease, target, entries)
            full_row = {**row, "connection_ms": lease.connection_ms, "retry_count": attempts.retry_count}
            if insert(lease.connection, target, full_row, session_settings):
                return True
            # An attempt whose response was lost, or a trigger of the table, may have stored this record.
            return is_stored(lease.connection, target, row)

        try:
            return self._attempt(write, deadline, attempts)
        except TransientError:
            if once or self._max_retries == 0:
                raise
        return self._retry(lambda: self._attempt(write, deadline, attempts), deadline, attempts)

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
        """Store queued records in one statement and one attempt; returns the new ones. Raises `DatabaseError`."""

        def write(lease: Lease, target: Target, session_settings: str) -> int:
            info = delivery_info._replace(connection_ms=lease.connection_ms)
            return insert_queued(lease.connection, target, documents, info, session_settings)

        return self._attempt(write, deadline, attempts)

    def deliver_one_by_one(
        self, documents: Sequence[str], delivery_info: DeliveryInfo, deadline: float, attempts: DeliveryAttempts
    ) -> InsertResult:
        """Store queued records one by one in one statement. Raises `DatabaseError`."""

        def write(lease: Lease, target: Target, session_settings: str) -> InsertResult:
            info = delivery_info._replace(connection_ms=lease.connection_ms)
            return insert_each(lease.connection, target, documents, info, session_settings)

        return self._attempt(write, deadline, attempts)

    def find_missing_ids(self, ids: Sequence[str], deadline: float) -> set[str]:
        """The ids that have no row although their inserts succeeded. Raises `DatabaseError`."""
        return self._attempt(
            lambda lease, target, _: find_missing_ids(lease.connection, target, ids), deadline, DeliveryAttempts()
        )

    def run_once(self, work: Callable[[Any, Target], None], deadline: float) -> None:
        """Run a function with a connection, in one attempt. Raises `DatabaseError`.

        A missing right to write to the ledger is logged once and is no error.
        """
        try:
            self._attempt(lambda lease, target, _: work(lease.connection, target), deadline, DeliveryAttempts())
        except SetupError as error:
            _warn_ledger_unwritable(error)

    def _retry(self, attempt: Callable[[], T], deadline: float, attempts: DeliveryAttempts) -> T:
        with fork_guard.importing:
            import random

            from tenacity import Retrying, retry_if_exception_type, stop_after_attempt, stop_before_delay

        generator = random.Random()  # noqa: S311  jitter is no secret; the host may have seeded Python's own
        first_wait_s = generator.uniform(0, _FIRST_WAIT_S)
        left_s = deadline - time.monotonic() - first_wait_s
        if left_s <= 0:
            raise attempts.error.copy() if attempts.error else AssertionError("a retry follows an error")
        time.sleep(first_wait_s)
        retrying = Retrying(
            retry=retry_if_exception_type(TransientError),
            stop=stop_after_attempt(self._max_retries) | stop_before_delay(left_s),
            wait=lambda state: generator.uniform(0, min(_MAX_WAIT_S, _FIRST_WAIT_S * 2**state.attempt_number)),
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
                session_settings = _session_settings(attempts.error, deadline)
                target = target or self._read_target(lease, session_settings)
                started = time.perf_counter()
                result = work(lease, target, session_settings)
            attempts.write_ms = elapsed_ms(started)
        except DatabaseError as error:
            attempts.error = _deadline_error() if lease.deadline.fired else error.copy()
            if isinstance(error, SetupError):
                self._target = None  # the table may have changed: read it again
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
        """Whether to read the table again and retry once after this refusal."""
        if not isinstance(error, RecordError) or not (error.sqlstate or "").startswith(_VALUE_CLASSES):
            return False
        if self._target is not used and self._target is not None:
            return True  # another thread has read the table since
        now = time.monotonic()
        if now - self._reread_at < _REREAD_INTERVAL_S:
            return False
        self._reread_at = now
        self._target = None
        return True

    def _read_target(self, lease: Lease, session_settings: str) -> Target:
        # Several threads may read it at first: cheaper than a lock, which a fork or a hanging server would keep.
        self._target = target = Target.read(lease.connection, self._schema, session_settings)
        return target


def _warn_ledger_unwritable(error: SetupError) -> None:
    """Log once that the ledger can't be written; any other error is raised."""
    if error.code != "right_missing":
        raise error.copy() from None
    warn_once(f"The loss ledger can't be written. {error}")


def _deadline_error() -> TransientError:
    return TransientError(
        "deadline",
        Message("recording.deadline"),
        Message("recording.deadline.remedy"),
    )


def _session_settings(error: DatabaseError | None, deadline: float) -> str:
    """Settings for one transaction, which override what another client of the pooler left in the session."""
    if error is None or error.sqlstate not in _RECOVERABLE_STATES:
        return ""
    left_ms = max(1, int((deadline - time.monotonic()) * 1000))
    return f"SET LOCAL statement_timeout = {left_ms}; SET TRANSACTION READ WRITE; "
