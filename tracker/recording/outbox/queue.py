"""The outbox queue of one Tracker: enqueues records durably and delivers them to the database."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from tracker.errors import DatabaseError, OutboxError, RecordError
from tracker.recording.alerts.budget_alerts import BudgetWatch
from tracker.recording.alerts.pending_notices import PendingNotices
from tracker.recording.insert import Row
from tracker.recording.instance import Instance, compact_document
from tracker.recording.outbox.drain import Drainer
from tracker.recording.outbox.drain_rounds import run_rounds
from tracker.recording.outbox.paths import outbox_file, unassigned_file
from tracker.recording.outbox.shared import SharedOutbox, shared_outbox
from tracker.recording.outbox.store import Outbox, OutboxDepth, QueuedRecord
from tracker.recording.record_log import warn_once

if TYPE_CHECKING:
    from tracker.database.url import DatabaseUrl
    from tracker.recording.circuit_breaker import CircuitBreaker
    from tracker.recording.retry import Delivery
    from tracker.recording.tracker import Tracker
    from tracker.settings import Settings

# The pause between two rounds of a flush while another process drains the outbox, and after a failed round.
_BUSY_PAUSE_S = 0.02
_LAST_ATTEMPT_S = 2.0
# How long a record waits for an outbox that another process has locked.
_MIN_LOCK_TIMEOUT_S, _MAX_LOCK_TIMEOUT_S = 0.02, 1.0
_ALL_TIMES = 1e12
# How often queued records are reported to the ledger while another process has the drain lock.
_REPORT_INTERVAL_S, _REPORT_AFTER_BUSY_S = 10.0, 2.0


class OutboxQueue:
    """Stores records durably on this machine and delivers them to the database.

    Without a valid database URL (`delivery` is None) it only stores them. A worker thread starts with the first queued
    record, except on serverless, where the platform would freeze it: there a record's own call delivers a batch.
    """

    def __init__(
        self,
        settings: Settings,
        url: DatabaseUrl | None,
        delivery: Delivery | None,
        breaker: CircuitBreaker,
        owner: Tracker,
        instance: Instance,
    ) -> None:
        self._settings = settings
        self._delivery = delivery
        self._breaker = breaker
        self._owner = owner  # keeps the Tracker alive while records are queued, to deliver them when the process ends
        self._instance = instance
        self.key = settings.database_url
        self.round_s = settings.deadline_s
        self._shared = shared_outbox(outbox_file(settings, url), settings.outbox_max_mb)
        self._shared_outboxes = [self._shared]
        if delivery and (unassigned := unassigned_file(settings, url)):
            self._shared_outboxes.append(shared_outbox(unassigned, settings.outbox_max_mb))
        self._drainers: dict[Outbox, Drainer] = {}
        self.outbox = self._shared.outbox
        self.notices = PendingNotices(settings, breaker, self._outboxes)
        self.uses_worker = delivery is not None and (settings.mode == "background" or not settings.runtime.serverless)
        self._worker = self._shared.worker
        self._budgets = BudgetWatch(delivery, settings.runtime, self.notices.alerts, self.wake)
        self._reported_queued_at = float("-inf")
        self._busy_since: dict[Outbox, float] = {}
        self._reported_from = 1
        self.enqueued_count = 0
        """The minimum number of records that this process has enqueued."""
        self._register()

    def _register(self) -> None:
        """Register as a user of the files, also again after `close`."""
        self._is_registered = True
        for shared in self._shared_outboxes:
            shared.register(self)

    def _outboxes(self) -> list[Outbox]:
        return [outbox for shared in tuple(self._shared_outboxes) for outbox in shared.files()]

    def _drainer(self, outbox: Outbox) -> Drainer:
        assert self._delivery is not None  # noqa: S101  for the type checker
        if existing := self._drainers.get(outbox):
            return existing
        drainer = Drainer(outbox, self._delivery, self.notices.on_dead_letter, self.notices.on_held)
        return self._drainers.setdefault(outbox, drainer)

    # --- enqueueing ---

    def assign_sequence_and_enqueue(self, row: dict[str, Any], assigned: list[int], deadline: float) -> None:
        """Number a row and enqueue it. Raises `OutboxError`; the row is numbered nevertheless."""
        text = compact_document(row)

        def build() -> QueuedRecord:
            # Numbered under the file's lock, so that the end of the process can't leave a gap between two numbers.
            row["sequence"] = sequence = self._instance.assign_sequence(assigned)
            return QueuedRecord(str(row["id"]), self._instance.name, sequence, f'{text[:-1]}, "sequence": {sequence}}}')

        try:
            self._append(build, _bounded_lock_timeout_s((deadline - time.monotonic()) / 2))
        except OutboxError:
            row["sequence"] = sequence = self._instance.assign_sequence(assigned)
            # This record is written directly to the database; all unreported records before it are in the outbox.
            self.notices.add_queued(self._reported_from, sequence - 1)
            self._reported_from = sequence + 1
            raise

    def enqueue(self, row: Row, lock_timeout_s: float) -> None:
        """Enqueue a numbered record. Raises `OutboxError`."""
        record = _queued_record(row)
        self._append(lambda: record, _bounded_lock_timeout_s(lock_timeout_s))
        self.notices.add_queued(row["sequence"], row["sequence"])

    def _append(self, build: Callable[[], QueuedRecord], lock_timeout_s: float) -> None:
        if not self._is_registered:
            self._register()
        self._shared.append_built(build, lock_timeout_s)
        self.enqueued_count += 1
        if self._instance.name not in self._shared.instances:
            self._shared.instances.append(self._instance.name)
        if self.uses_worker:
            self._worker.wake(self)
        else:
            self._shared.keep_alive(self)

    def add_dead_letter(self, row: Row, error: RecordError) -> None:
        """Store a record that the database refuses as a dead letter, with the reason."""
        record = _queued_record(row)
        for outbox in (self._shared.outbox, self._shared.fallback):
            with suppress(OutboxError):
                outbox.add_dead_letter(record, error.sentence)
                break
        self.notices.on_dead_letter(record, error)
        self.wake()

    # --- delivering ---

    def wake(self) -> None:
        """Start delivering, because the database is available again or an earlier process left records."""
        if self.uses_worker:
            self._register()
            self._worker.wake(self, now=True)

    def catch_up(self, deadline: float, limit: int) -> bool:
        """Deliver one batch in the caller's thread; returns whether records remain. Never raises."""
        try:
            return bool(self._run_round(deadline, limit=limit, batches=1))
        except (DatabaseError, OutboxError):
            return True

    def flush(self, timeout_s: float, *, ending: bool = False) -> int:
        """Deliver the records that are queued now; returns how many remain after the last round or the timeout.

        With `ending`, it doesn't wait for a database that is known to be down: the records stay in the outbox.
        """
        is_database_down = ending and self._breaker.error is not None and not self._settings.runtime.serverless
        end = time.monotonic() + (min(timeout_s, _LAST_ATTEMPT_S) if is_database_down else timeout_s)
        newest_at = self._newest_queued_at()
        retry = True

        def run_round() -> bool | None:
            nonlocal retry
            more = self._run_round(end, retry=retry)
            retry = retry and more is None
            return more

        result = run_rounds(
            run_round,
            end,
            _BUSY_PAUSE_S,
            is_done=lambda: not (self._delivery and (self._count_remaining(newest_at) or self._has_notes())),
            # Ledger lines and alerts can wait for a later process.
            retries_failure=lambda: not is_database_down and bool(self._count_remaining(newest_at)),
        )
        remaining = self._count_remaining(newest_at)
        if result.more is None and remaining and self._delivery:
            self._report_all_queued(time.monotonic() + _LAST_ATTEMPT_S)
        return remaining

    def _report_all_queued(self, deadline: float) -> None:
        with suppress(DatabaseError):
            for outbox in self._outboxes():
                self._report_queued(self._drainer(outbox), deadline, 0.0)

    def _newest_queued_at(self) -> float:
        """The latest `queued_at`, which separates queued records from later ones; the clock itself may jump."""
        try:
            return max(outbox.newest() or 0.0 for outbox in self._outboxes())
        except OutboxError:
            return _ALL_TIMES

    def _count_remaining(self, newest_at: float) -> int:
        """The queued records up to `newest_at`; for an unreadable outbox 1 if this process has enqueued any."""
        try:
            return sum(outbox.depth(newest_at).waiting for outbox in self._outboxes())
        except OutboxError:
            return min(self.enqueued_count, 1)

    def _has_notes(self) -> bool:
        try:
            return any(outbox.notes(1) for outbox in self._outboxes())
        except OutboxError:
            return False

    def depth(self) -> OutboxDepth:
        """The number of queued records and dead letters; an unreadable outbox counts as empty."""
        depths = []
        for outbox in self._outboxes():
            with suppress(OutboxError):
                depths.append(outbox.depth())
        oldest = [depth.oldest_at for depth in depths if depth.oldest_at is not None]
        return OutboxDepth(
            sum(depth.waiting for depth in depths),
            sum(depth.dead_letters for depth in depths),
            min(oldest, default=None),
        )

    def deliver(self, deadline: float) -> bool | None:
        """Run one round in the worker thread; True if records remain, None if another process drains the outbox."""
        more = self._run_round(deadline)
        self._budgets.check_if_due()
        return more

    def on_delivery_failure(self, error: Exception, lasting_s: float) -> None:
        """Report a failed round of the worker thread."""
        self.notices.on_delivery_failure(error, lasting_s)

    @property
    def retry_in_s(self) -> float | None:
        """The seconds until held records are retried; None if no record is held."""
        waits_s = (drainer.held.retry_in_s() for drainer in list(self._drainers.values()))
        return min((wait_s for wait_s in waits_s if wait_s is not None), default=None)

    def is_retry_due(self) -> bool:
        """Whether a record's own call should retry held records."""
        return self.retry_in_s == 0

    def _run_round(self, deadline: float, *, retry: bool = False, **limits: int) -> bool | None:
        more: bool | None = False
        is_accepted = False
        outbox_error: OutboxError | None = None
        for shared in tuple(self._shared_outboxes):
            for outbox in shared.files():
                drainer = self._drainer(outbox)
                accepted_before = drainer.accepted_batches
                try:
                    outbox_has_more = drainer.run_round(shared.instances, deadline, retry=retry, **limits)
                except OutboxError as error:  # the other file may be readable
                    outbox_error, outbox_has_more = error, True
                is_accepted = is_accepted or drainer.accepted_batches > accepted_before
                if outbox_has_more is None:
                    self._report_queued(drainer, deadline, _REPORT_AFTER_BUSY_S)
                else:
                    self._busy_since.pop(outbox, None)
                more = outbox_has_more if more is False else more
            if more is False and self.retry_in_s is None:
                self._on_empty(shared)
        if is_accepted:  # a round without records says nothing about the database
            self._breaker.record_success()
            self._budgets.on_delivered()
        if outbox_error is not None:
            raise outbox_error.copy()
        return more

    def _on_empty(self, shared: SharedOutbox) -> None:
        shared.on_empty()
        if shared is not self._shared and shared in self._shared_outboxes:
            self._shared_outboxes.remove(shared)  # the records without a database URL are delivered
            shared.unregister(self)

    def _report_queued(self, drainer: Drainer, deadline: float, after_s: float) -> None:
        """Report queued records to the ledger at intervals if another process has had the lock for `after_s`."""
        now = time.monotonic()
        busy_s = now - self._busy_since.setdefault(drainer.outbox, now)
        if busy_s < after_s or now - self._reported_queued_at < _REPORT_INTERVAL_S or self._breaker.error is not None:
            return
        self._reported_queued_at = now
        with suppress(OutboxError):
            if not drainer.outbox.empty():
                drainer.report_queued(deadline)
                if holder := drainer.outbox.drain_lock.holder():
                    warn_once(f"Records in {drainer.outbox.path} wait for {holder}, which holds the delivery lock.")

    # --- fork and close ---

    def after_fork(self, instance: Instance) -> None:
        """Reset in a forked child, which has its own numbers and alerts; the files are reset separately."""
        self._instance = instance
        self._reported_from = 1
        self.enqueued_count = 0
        self._drainers = {}
        self.notices.reset()
        self._budgets.reset()

    def close(self, alerts_timeout_s: float) -> None:
        """End the thread and close the files unless other queues use them; the next record starts both again."""
        if self.uses_worker:
            self._budgets.check_if_due(ending=True)
        self.notices.alerts.wait(alerts_timeout_s)
        self._is_registered = False
        for shared in self._shared_outboxes:
            shared.unregister(self)


def _bounded_lock_timeout_s(seconds: float) -> float:
    return max(_MIN_LOCK_TIMEOUT_S, min(_MAX_LOCK_TIMEOUT_S, seconds))


def _queued_record(row: Row) -> QueuedRecord:
    return QueuedRecord(str(row["id"]), str(row["instance_id"]), row["sequence"], compact_document(row))
