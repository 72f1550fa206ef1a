"""Direct mode: writes each record before `record` returns; a record that can't be written goes to the outbox."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from tracker.database import connect
from tracker.database.connect import elapsed_ms
from tracker.database.failures import explain_refused_kind
from tracker.errors import DatabaseError, OutboxError, RecordError, SetupError, TableError
from tracker.forks import fork_guard
from tracker.messages import Message, join_messages
from tracker.outcome import Outcome
from tracker.recording import record_log
from tracker.recording.retry import Delivery, DeliveryAttempts
from tracker.threads import call_deadline

if TYPE_CHECKING:
    from tracker.recording.alerts.pending_notices import PendingNotices
    from tracker.recording.circuit_breaker import CircuitBreaker
    from tracker.recording.outbox.queue import OutboxQueue

# On serverless a record's own call delivers the outbox: one batch in one round trip, if enough time is left.
_CATCH_UP_ROWS = 200
_CATCH_UP_MIN_LEFT_S = 1.0
# A timeout within a shorter time says nothing about the database.
_MIN_CONCLUSIVE_S = 0.25
_TIMEOUT_CODES = {"deadline", "timeout"}
# Errors of this process say nothing about the database.
_LOCAL_CODES = {"pool_exhausted", "no_thread"}
# The share of its deadline by which a record may be late if the outbox is locked too. The same share is reserved for
# enqueueing.
_OVERRUN_SHARE = 0.1
_RESERVE_S = 1.0
# The time to import and open the outbox on a busy machine, once in a process.
_OPENING_S, _OPENING_SHARE = 0.15, 0.15


class DirectWriter:
    """Writes a row before it returns; the outcome is recorded, duplicate, queued, or failed."""

    def __init__(
        self,
        delivery: Delivery | None,
        setup_error: SetupError | None,
        breaker: CircuitBreaker,
        get_queue: Callable[[], OutboxQueue],
        get_existing_queue: Callable[[], OutboxQueue | None],
        *,
        disk_is_ephemeral: bool,
    ) -> None:
        self._delivery = delivery
        self._setup_error = setup_error
        self._breaker = breaker
        self._get_queue = get_queue
        self._get_existing_queue = get_existing_queue
        self._disk_is_ephemeral = disk_is_ephemeral
        self.has_backlog = False
        """Whether the outbox may contain records that the next call should deliver."""

    def write(self, row: dict[str, Any], deadline: float) -> Outcome:
        """Store a numbered row before `deadline` (`time.monotonic`), else put it into the outbox or the log."""
        attempts = DeliveryAttempts()
        started = time.perf_counter()
        breaker_error = self._breaker.error
        queue = self._get_existing_queue()
        reserve_s = _reserve_s(deadline - time.monotonic(), queue_exists=queue is not None)
        try:
            notices = queue.notices if queue is not None else None
            new = self._deliver(row, deadline - reserve_s, attempts, breaker_error, notices)
        except Exception as raised:  # noqa: BLE001  no exception of the library may reach the host's AI call
            error = raised if isinstance(raised, DatabaseError) else connect.translate(raised)
            with call_deadline.limit(deadline + reserve_s):
                return self._handle_failure(row, deadline, attempts, error, started)
        was_down = breaker_error is not None
        if was_down or not new or self._has_deliverable_backlog():
            # The record is stored; an error in the follow-up work must not reach the caller.
            with suppress(Exception), call_deadline.limit(deadline):
                self._after_write(row, deadline, was_down=was_down, new=new)
        return _outcome("recorded" if new else "duplicate", row, attempts)

    def _after_write(self, row: dict[str, Any], deadline: float, *, was_down: bool, new: bool) -> None:
        if was_down:
            self._breaker.record_success()
            self._get_queue().wake()
        if not new:
            self._report_duplicate(row, deadline)
        if self._has_deliverable_backlog():
            self._catch_up(deadline)

    def _has_deliverable_backlog(self) -> bool:
        if self.has_backlog:
            return True
        queue = self._get_existing_queue()
        return queue is not None and not queue.uses_worker and queue.is_retry_due()

    def _deliver(
        self,
        row: dict[str, Any],
        deadline: float,
        attempts: DeliveryAttempts,
        breaker_error: DatabaseError | None,
        notices: PendingNotices | None,
    ) -> bool:
        if self._delivery is None:
            raise self._setup_error.copy() if self._setup_error else AssertionError("no database URL without an error")
        if breaker_error is not None and not self._breaker.allow_request():
            text = Message("recording.not_attempted", sentence=breaker_error.sentence)
            raise SetupError(breaker_error.code, text, breaker_error.remedy, server_words=breaker_error.server_words)
        entries = notices.take_unreported(row) if notices else []
        try:
            # A probe makes one attempt, because another probe follows.
            return self._delivery.deliver(row, deadline, attempts, once=breaker_error is not None, entries=entries)
        except BaseException:
            if notices:
                notices.restore_unreported(entries)
            raise

    def _handle_failure(
        self, row: dict[str, Any], deadline: float, attempts: DeliveryAttempts, error: DatabaseError, started: float
    ) -> Outcome:
        queue = self._get_queue()
        details = {
            "record_id": str(row["id"]),
            "attempts": attempts.retry_count + (attempts.error is not None),
            "elapsed_ms": elapsed_ms(started),
        }
        error = self._as_table_error(error)
        if isinstance(error, RecordError) and not isinstance(error, TableError):
            queue.add_dead_letter(row, error)
            self.has_backlog = True
            record_log.log_full_record("failed", row, str(error), attempts.retry_count)
            return _outcome("failed", row, attempts, str(error))
        left_s = deadline - time.monotonic()
        budget_s = time.perf_counter() - started + left_s
        is_inconclusive = budget_s < _MIN_CONCLUSIVE_S and error.code in _TIMEOUT_CODES
        is_refused = isinstance(error, TableError)  # the database responds, and accepts other records
        if attempts.error is not None and error.code not in _LOCAL_CODES and not is_inconclusive and not is_refused:
            self._breaker.record_failure(error)
        row = {**row, "connection_ms": attempts.connection_ms, "retry_count": attempts.retry_count}
        try:
            queue.enqueue(row, left_s + budget_s * _OVERRUN_SHARE)
        except OutboxError as outbox_error:
            text = join_messages([str(error), str(outbox_error)])
            record_log.log_full_record("failed", row, text, attempts.retry_count)
            queue.notices.alert(outbox_error.code, f"{error.text_for_alerts} {outbox_error}", **details)
            return _outcome("failed", row, attempts, text)
        self.has_backlog = True
        if self._disk_is_ephemeral:
            record_log.log_full_record("queued", row, str(error), attempts.retry_count)
        queue.notices.alert(error.code, error.text_for_alerts, **details)
        return _outcome("queued", row, attempts, str(error))

    def _as_table_error(self, error: DatabaseError) -> DatabaseError:
        """The refusal as a `TableError` if the table is its cause; the record is then queued."""
        if not isinstance(error, RecordError) or self._delivery is None:
            return error
        self._delivery.refused_kinds.add(error)
        if not self._delivery.refused_kinds.is_systematic(error):
            return error
        return explain_refused_kind(error)

    def _report_duplicate(self, row: dict[str, Any], deadline: float) -> None:
        """Write a duplicate into the ledger now or, if that fails, with the next delivery."""
        with fork_guard.importing:
            from tracker.recording.instance import document
            from tracker.recording.loss_ledger import make_entry, write_duplicates

        assert self._delivery is not None  # noqa: S101  for the type checker
        try:
            self._delivery.run_once(
                lambda connection, target: write_duplicates(connection, target, [document(row)]), deadline
            )
        except DatabaseError:
            self._get_queue().notices.note(make_entry("duplicate", row, row["sequence"]))
            self._get_queue().wake()
            self.has_backlog = True

    def _catch_up(self, deadline: float) -> None:
        queue = self._get_queue()
        if queue.uses_worker:
            self.has_backlog = False  # the worker thread delivers it
        elif deadline - time.monotonic() >= _CATCH_UP_MIN_LEFT_S:
            self.has_backlog = queue.catch_up(deadline, _CATCH_UP_ROWS)


def _reserve_s(left_s: float, *, queue_exists: bool) -> float:
    """The share of a record's time that is reserved for enqueueing it; more if the outbox must be opened first."""
    reserve_s = min(_RESERVE_S, left_s * _OVERRUN_SHARE)
    opening_s = 0.0 if queue_exists else min(_OPENING_S, left_s * _OPENING_SHARE)
    return max(0.0, reserve_s + opening_s)


def _outcome(status: Any, row: dict[str, Any], attempts: DeliveryAttempts, error: str | None = None) -> Outcome:
    return Outcome(status, row["id"], attempts.retry_count, attempts.connection_ms, attempts.write_ms, error)
