"""What outlives an attempt: the outbox, and the thread that empties it."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from tracker.errors import DatabaseError, OutboxError, RecordError, TransientError
from tracker.recording.alerts.budget_alerts import BudgetWatch
from tracker.recording.alerts.pending_notices import PendingNotices
from tracker.recording.insert import Row
from tracker.recording.instance import Instance, compact_document
from tracker.recording.outbox.drain import Drainer
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

# Between a flush's rounds: while another process is at it, and after one that failed.
_BUSY_PAUSE_S = 0.02
_FAILED_PAUSE_S = 0.2
_LAST_TRY_S = 2.0
# How long a record waits for an outbox that another process holds locked.
_MIN_LOCK_TIMEOUT_S, _MAX_LOCK_TIMEOUT_S = 0.02, 1.0
_EVER = 1e12
# How often the ledger is told what waits while another process holds the lock for delivery.
_TELL_EVERY_S, _BUSY_LONG_S = 10.0, 2.0


class OutboxQueue:
    """Keeps records durable on this machine and gets them into the database.

    Without a readable database address (`delivery` None) it only keeps. The thread is there from the first record
    on that waits; not on serverless, where it would be frozen: there a record's own call delivers a batch.
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
        self._owner = owner  # must exist for as long as records wait, to deliver them when the process ends
        self._instance = instance
        self.key = settings.database_url
        self.round_s = settings.deadline_s
        self._shared = shared_outbox(outbox_file(settings, url), settings.outbox_max_mb)
        self._sources = [self._shared]
        if delivery and (unassigned := unassigned_file(settings, url)):
            self._sources.append(shared_outbox(unassigned, settings.outbox_max_mb))
        self._drainers: dict[Outbox, Drainer] = {}
        self.outbox = self._shared.outbox
        self.notices = PendingNotices(settings, breaker, self._outboxes)
        self.uses_worker = delivery is not None and (settings.mode == "background" or not settings.runtime.serverless)
        self._worker = self._shared.worker
        self._budgets = BudgetWatch(delivery, settings.runtime, self.notices.alerts, self.wake)
        self._told_waiting_at = float("-inf")
        self._busy_since: dict[Outbox, float] = {}
        self._reported_from = 1
        self.enqueued_count = 0
        """How many records this process has made durable here, at least."""
        self._register()

    def _register(self) -> None:
        """Be a user of the files, also again after `close`."""
        self._is_registered = True
        for shared in self._sources:
            shared.register(self)

    def _outboxes(self) -> list[Outbox]:
        return [outbox for shared in tuple(self._sources) for outbox in shared.files()]

    def _drainer(self, outbox: Outbox) -> Drainer:
        assert self._delivery is not None  # noqa: S101  for the type checker
        if found := self._drainers.get(outbox):
            return found
        made = Drainer(outbox, self._delivery, self.notices.on_dead_letter, self.notices.on_held)
        return self._drainers.setdefault(outbox, made)

    # --- taking records ---

    def assign_sequence_and_enqueue(self, row: dict[str, Any], assigned: list[int], deadline: float) -> None:
        """Number a row and make it durable. Raises `OutboxError`; then it is numbered all the same."""
        text = compact_document(row)

        def make() -> QueuedRecord:
            # Numbered under the file's lock, so that the end of the process can't leave a gap between two numbers.
            row["sequence"] = sequence = self._instance.assign_sequence(assigned)
            return QueuedRecord(str(row["id"]), self._instance.name, sequence, f'{text[:-1]}, "sequence": {sequence}}}')

        try:
            self._append(make, _bounded_lock_timeout_s((deadline - time.monotonic()) / 2))
        except OutboxError:
            row["sequence"] = sequence = self._instance.assign_sequence(assigned)
            # This one goes straight to the database: all before it are in the outbox, as far as they weren't reported.
            self.notices.waits(self._reported_from, sequence - 1)
            self._reported_from = sequence + 1
            raise

    def enqueue(self, row: Row, lock_timeout_s: float) -> None:
        """Make a numbered record durable. Raises `OutboxError`."""
        record = _queued_record(row)
        self._append(lambda: record, _bounded_lock_timeout_s(lock_timeout_s))
        self.notices.waits(row["sequence"], row["sequence"])

    def _append(self, make: Callable[[], QueuedRecord], lock_timeout_s: float) -> None:
        if not self._is_registered:
            self._register()
        self._shared.append_next(make, lock_timeout_s)
        self.enqueued_count += 1
        if self._instance.name not in self._shared.instances:
            self._shared.instances.append(self._instance.name)
        if self.uses_worker:
            self._worker.wake(self)
        else:
            self._shared.keep_alive(self)

    def add_dead_letter(self, row: Row, error: RecordError) -> None:
        """Keep a record that the database refuses, with the reason."""
        record = _queued_record(row)
        for outbox in (self._shared.outbox, self._shared.second):
            with suppress(OutboxError):
                outbox.add_dead_letter(record, error.sentence)
                break
        self.notices.on_dead_letter(record, error)
        self.wake()

    # --- delivering ---

    def wake(self) -> None:
        """The database answers, or an earlier process left records: deliver what waits."""
        if self.uses_worker:
            self._register()
            self._worker.wake(self, now=True)

    def catch_up(self, deadline: float, limit: int) -> bool:
        """Deliver one batch in the caller's own time; whether more waits. Raises nothing."""
        try:
            return bool(self._round(deadline, limit=limit, batches=1))
        except (DatabaseError, OutboxError):
            return True

    def flush(self, timeout_s: float, *, ending: bool = False) -> int:
        """Deliver what waits now; how many records still do when all is done, nothing helps, or time is up.

        When the process is `ending`, a database that is known to be down isn't waited for: the records lie safe.
        """
        hopeless = ending and self._breaker.error is not None and not self._settings.runtime.serverless
        end = time.monotonic() + (min(timeout_s, _LAST_TRY_S) if hopeless else timeout_s)
        newest = self._newest()
        more: bool | None = False
        retry = True
        while self._delivery and (self._left(newest) or self._notes_wait()):
            try:
                more = self._round(end, retry=retry)
                retry = retry and more is None
                if more is False:
                    break
                pause = _BUSY_PAUSE_S if more is None else 0.0
            except TransientError:
                if hopeless or not self._left(newest):  # what only tells about records can wait for the next
                    break
                pause = _FAILED_PAUSE_S
            except (DatabaseError, OutboxError):
                break
            if time.monotonic() + pause >= end:
                break
            time.sleep(pause)
        left = self._left(newest)
        if more is None and left and self._delivery:
            self._report_all_queued(time.monotonic() + _LAST_TRY_S)
        return left

    def _report_all_queued(self, deadline: float) -> None:
        with suppress(DatabaseError):
            for outbox in self._outboxes():
                self._report_queued(self._drainer(outbox), deadline, 0.0)

    def _newest(self) -> float:
        """What tells the records that wait now from those to come; a clock may jump, and so isn't asked."""
        try:
            return max(outbox.newest() or 0.0 for outbox in self._outboxes())
        except OutboxError:
            return _EVER

    def _left(self, newest: float) -> int:
        """How many of the records up to `newest` wait; where that can't be read, one if there may be any."""
        try:
            return sum(outbox.depth(newest).waiting for outbox in self._outboxes())
        except OutboxError:
            return min(self.enqueued_count, 1)

    def _notes_wait(self) -> bool:
        try:
            return any(outbox.notes(1) for outbox in self._outboxes())
        except OutboxError:
            return False

    def depth(self) -> OutboxDepth:
        """How much waits; nothing is known, and so nothing counted, where the outbox can't be read."""
        found = []
        for outbox in self._outboxes():
            with suppress(OutboxError):
                found.append(outbox.depth())
        oldest = [depth.oldest_at for depth in found if depth.oldest_at is not None]
        return OutboxDepth(
            sum(depth.waiting for depth in found), sum(depth.dead_letters for depth in found), min(oldest, default=None)
        )

    def deliver(self, deadline: float) -> bool | None:
        """One round of the thread; True when more waits, None when another process is at it."""
        more = self._round(deadline)
        self._budgets.look()
        return more

    def on_delivery_failure(self, error: Exception, lasting_s: float) -> None:
        """The thread couldn't deliver."""
        self.notices.on_delivery_failure(error, lasting_s)

    @property
    def retry_in_s(self) -> float | None:
        """In how many seconds records that wait for a correction of the table are retried; None without such."""
        times = [time_s for one in list(self._drainers.values()) if (time_s := one.held.retry_in_s()) is not None]
        return min(times, default=None)

    def is_retry_due(self) -> bool:
        """Whether a call of ours should retry records that wait for a correction of the table."""
        return self.retry_in_s == 0

    def _round(self, deadline: float, *, retry: bool = False, **limits: int) -> bool | None:
        more: bool | None = False
        answered = False
        failed: OutboxError | None = None
        for shared in tuple(self._sources):
            for outbox in shared.files():
                drainer = self._drainer(outbox)
                before = drainer.accepted_batches
                try:
                    left = drainer.run_round(shared.instances, deadline, retry=retry, **limits)
                except OutboxError as error:  # the other file may be open
                    failed, left = error, True
                answered = answered or drainer.accepted_batches > before
                if left is None:
                    self._report_queued(drainer, deadline, _BUSY_LONG_S)
                else:
                    self._busy_since.pop(outbox, None)
                more = left if more is False else more
            if more is False and self.retry_in_s is None:
                self._on_empty(shared)
        if answered:  # a round without anything to do says nothing about the database
            self._breaker.record_success()
            self._budgets.delivered()
        if failed is not None:
            raise failed.copy()
        return more

    def _on_empty(self, shared: SharedOutbox) -> None:
        shared.on_empty()
        if shared is not self._shared and shared in self._sources:
            self._sources.remove(shared)  # what was queued without an address is delivered
            shared.unregister(self)

    def _report_queued(self, drainer: Drainer, deadline: float, after_s: float) -> None:
        """Tell the ledger now and then what waits for another process that has held the lock for so long."""
        now = time.monotonic()
        busy_s = now - self._busy_since.setdefault(drainer.outbox, now)
        if busy_s < after_s or now - self._told_waiting_at < _TELL_EVERY_S or self._breaker.error is not None:
            return
        self._told_waiting_at = now
        with suppress(OutboxError):
            if not drainer.outbox.empty():
                drainer.report_queued(deadline)
                if holder := drainer.outbox.drain_lock.holder():
                    warn_once(f"Records in {drainer.outbox.path} wait for {holder}, which holds the lock for delivery.")

    # --- beginning and ending ---

    def after_fork(self, instance: Instance) -> None:
        """Begin anew in a forked child: its own numbers and alerts; the files do so by themselves."""
        self._instance = instance
        self._reported_from = 1
        self.enqueued_count = 0
        self._drainers = {}
        self.notices.reset()
        self._budgets.reset()

    def close(self, alerts_timeout_s: float) -> None:
        """End the thread and close the files, unless others use them; both begin again when a record waits."""
        if self.uses_worker:
            self._budgets.look(ending=True)
        self.notices.alerts.wait(alerts_timeout_s)
        self._is_registered = False
        for shared in self._sources:
            shared.unregister(self)


def _bounded_lock_timeout_s(seconds: float) -> float:
    return max(_MIN_LOCK_TIMEOUT_S, min(_MAX_LOCK_TIMEOUT_S, seconds))


def _queued_record(row: Row) -> QueuedRecord:
    return QueuedRecord(str(row["id"]), str(row["instance_id"]), row["sequence"], compact_document(row))
