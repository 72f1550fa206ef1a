"""What outlives an attempt: the outbox, and the thread that empties it."""

from __future__ import annotations

import time
from contextlib import ExitStack, suppress
from typing import TYPE_CHECKING, Any

from tracker.errors import DatabaseError, OutboxError, RecordError, TransientError
from tracker.recording.budget_watch import BudgetWatch
from tracker.recording.courier import Courier
from tracker.recording.drain import Drainer
from tracker.recording.instance import Instance, Row, compact_document
from tracker.recording.notices import Notices
from tracker.recording.outbox import Depth, Outbox, Waiting
from tracker.recording.places import outbox_file, unassigned_file

if TYPE_CHECKING:
    from tracker.database.url import DatabaseUrl
    from tracker.recording.breaker import Breaker
    from tracker.recording.delivery import Delivery
    from tracker.settings import Settings

# Between a flush's rounds: while another process is at it, and after one that failed.
_BUSY_PAUSE_S = 0.02
_FAILED_PAUSE_S = 0.2
_LAST_TRY_S = 2.0
# How long a record waits for an outbox that another process holds locked.
_SHORTEST_PATIENCE_S, _LONGEST_PATIENCE_S = 0.02, 1.0
_EVER = 1e12


class Journal:
    """Keeps records durable on this machine and gets them into the database.

    Without a readable database address (`delivery` None) it only keeps. The thread is there from the first record
    on that waits; not on serverless, where it would be frozen: there a record's own call delivers a batch.
    """

    def __init__(
        self,
        settings: Settings,
        url: DatabaseUrl | None,
        delivery: Delivery | None,
        breaker: Breaker,
        instance: Instance,
    ) -> None:
        self._settings = settings
        self._delivery = delivery
        self._breaker = breaker
        self._instance = instance
        self.notices = Notices(settings, breaker, self._outboxes)
        self.outbox = Outbox(outbox_file(settings, url), settings.outbox_max_mb, self.notices.on_damage)
        self._drainers = [self._drainer(self.outbox)] if delivery else []
        if delivery and (unassigned := unassigned_file(settings, url)):
            self._drainers.append(self._drainer(Outbox(unassigned, settings.outbox_max_mb)))
        self.threaded = delivery is not None and (settings.mode == "background" or not settings.runtime.serverless)
        self._courier = Courier(self._round_and_look, self.notices.on_trouble, settings.deadline_s)
        self._budgets = BudgetWatch(delivery, settings.runtime, self.notices.alerts, self.wake)
        self.taken = 0
        """How many records this process has made durable here, at least."""

    def _drainer(self, outbox: Outbox) -> Drainer:
        assert self._delivery is not None  # noqa: S101  for the type checker
        return Drainer(outbox, self._delivery, self.notices.on_set_aside)

    def _outboxes(self) -> list[Outbox]:
        return [self.outbox, *(drainer.outbox for drainer in self._drainers if drainer.outbox is not self.outbox)]

    # --- taking records ---

    def take(self, row: dict[str, Any], deadline: float) -> None:
        """Number a row and make it durable. Raises `OutboxError`; then it is numbered all the same."""
        text = compact_document(row)
        patience_s = _patience((deadline - time.monotonic()) / 2)
        lock = self.outbox.lock
        # Numbered under the lock, so that the end of the process can't leave a gap between two numbers.
        held = lock.acquire(timeout=patience_s)
        try:
            row["sequence"] = sequence = self._instance.next_sequence()
            if not held:
                raise self.outbox.busy()
            key = (str(row["id"]), self._instance.name, sequence)
            self.outbox.append(Waiting(*key, f'{text[:-1]}, "sequence": {sequence}}}'), patience_s=patience_s)
            self.taken += 1
        finally:
            if held:
                lock.release()
        if self.threaded:
            self._courier.wake()

    def keep(self, row: Row, patience_s: float) -> None:
        """Make a numbered record durable. Raises `OutboxError`."""
        self.outbox.append(_waiting(row), patience_s=_patience(patience_s))
        self.taken += 1
        self.notices.waits(row["sequence"])
        if self.threaded:
            self._courier.wake()

    def set_aside(self, row: Row, error: RecordError) -> None:
        """Keep a record that the database refuses, with the reason."""
        record = _waiting(row)
        with suppress(OutboxError):
            self.outbox.set_aside(record, error.sentence)
        self.notices.on_set_aside(record, error)
        self.wake()

    # --- delivering ---

    def wake(self) -> None:
        """The database answers, or an earlier process left records: deliver what waits."""
        if self.threaded:
            self._courier.wake(now=True)

    def catch_up(self, deadline: float, limit: int) -> bool:
        """Deliver one batch in the caller's own time; whether more waits. Raises nothing."""
        try:
            self.note_waiting(deadline)
            return bool(self._round(deadline, limit=limit, batches=1))
        except (DatabaseError, OutboxError):
            return True

    def note_waiting(self, deadline: float) -> None:
        """Tell the ledger which numbers wait. Raises `DatabaseError`."""
        if self._delivery:
            self.notices.tell_waiting(self._delivery, self._instance, deadline)

    def flush(self, timeout_s: float, *, ending: bool = False) -> int:
        """Deliver what waits now; how many records still do when all is done, nothing helps, or time is up.

        When the process is `ending`, a database that is known to be down isn't waited for: the records lie safe.
        """
        hopeless = ending and self._breaker.error is not None and not self._settings.runtime.serverless
        end = time.monotonic() + (min(timeout_s, _LAST_TRY_S) if hopeless else timeout_s)
        newest = self._newest()
        while self._drainers and (self._left(newest) or self._notes_wait()):
            try:
                more = self._round(end)
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
        return self._left(newest)

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
            return min(self.taken, 1)

    def _notes_wait(self) -> bool:
        try:
            return any(outbox.notes(1) for outbox in self._outboxes())
        except OutboxError:
            return False

    def depth(self) -> Depth:
        """How much waits; nothing is known, and so nothing counted, where the outbox can't be read."""
        found = []
        for outbox in self._outboxes():
            with suppress(OutboxError):
                found.append(outbox.depth())
        oldest = [depth.oldest_at for depth in found if depth.oldest_at is not None]
        return Depth(
            sum(depth.waiting for depth in found), sum(depth.set_aside for depth in found), min(oldest, default=None)
        )

    def _round_and_look(self, deadline: float) -> bool | None:
        more = self._round(deadline)
        self._budgets.look()
        return more

    def _round(self, deadline: float, **limits: int) -> bool | None:
        more: bool | None = False
        answered = False
        for drainer in tuple(self._drainers):
            before = drainer.answers
            left = drainer.round(self._instance.name, deadline, **limits)
            answered = answered or drainer.answers > before
            if left is False and drainer.outbox is not self.outbox:
                with suppress(ValueError):  # another thread was faster
                    self._drainers.remove(drainer)  # what was queued without an address is delivered
                drainer.outbox.close()
            more = left if more is False else more
        if answered:  # a round without anything to do says nothing about the database
            self._breaker.closes()
            self._budgets.delivered()
        return more

    # --- beginning and ending ---

    def before_fork(self, stack: ExitStack) -> None:
        """Leave nothing of the outbox open or half done."""
        for outbox in self._outboxes():
            outbox.before_fork(stack)

    def after_fork(self, instance: Instance) -> None:
        """Begin anew in a forked child: its own thread, file and instance."""
        self._instance = instance
        self.taken = 0
        for outbox in self._outboxes():
            outbox.after_fork()
        self.notices.reset()
        self._budgets.reset()
        self._courier.reset()

    def close(self, alerts_timeout_s: float) -> None:
        """End the thread and close the files; both begin again when a record waits."""
        self._courier.stop()
        if self.threaded:
            self._budgets.look(ending=True)
        self.notices.alerts.wait(alerts_timeout_s)
        for outbox in self._outboxes():
            outbox.close()


def _patience(seconds: float) -> float:
    return max(_SHORTEST_PATIENCE_S, min(_LONGEST_PATIENCE_S, seconds))


def _waiting(row: Row) -> Waiting:
    return Waiting(str(row["id"]), str(row["instance_id"]), row["sequence"], compact_document(row))
