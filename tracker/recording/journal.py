"""What outlives an attempt: the outbox, the thread that empties it, the alerts."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable
from contextlib import ExitStack, suppress
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from tracker.errors import DatabaseError, OutboxError, RecordError, SetupError, TransientError
from tracker.recording.alerts import Alerts
from tracker.recording.budget_watch import BudgetWatch
from tracker.recording.courier import Courier
from tracker.recording.drain import Drainer, set_aside_entry
from tracker.recording.instance import Instance, Row, compact_document
from tracker.recording.ledger import entry
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
# How long a record waits for an outbox that another process holds locked; what only tells about one, hardly at all.
_SHORTEST_PATIENCE_S, _LONGEST_PATIENCE_S = 0.1, 1.0
_NOTE_PATIENCE_S = 0.05
# Counting what waits costs a look at all of it; others may go on adding meanwhile.
_COUNT_EVERY = 10


class Journal:
    """Keeps records durable on this machine and gets them into the database; says so when it can't.

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
        self.alerts = Alerts(settings.alert_urls, settings.runtime, self._keep_alert)
        self.outbox = Outbox(outbox_file(settings, url), settings.outbox_max_mb, self._on_damage)
        self._drainers = [self._drainer(self.outbox)] if delivery else []
        if delivery and (unassigned := unassigned_file(settings, url)):
            self._drainers.append(self._drainer(Outbox(unassigned, settings.outbox_max_mb)))
        self.threaded = delivery is not None and (settings.mode == "background" or not settings.runtime.serverless)
        self._courier = Courier(self._round_and_look, self._on_trouble, settings.deadline_s)
        self._budgets = BudgetWatch(delivery, settings.runtime, self.alerts, self.wake)
        self._unnoted: list[int] = []

    def _drainer(self, outbox: Outbox) -> Drainer:
        assert self._delivery is not None  # noqa: S101  for the type checker
        return Drainer(outbox, self._delivery, self._on_set_aside)

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
        finally:
            if held:
                lock.release()
        if self.threaded:
            self._courier.wake()

    def keep(self, row: Row, patience_s: float) -> None:
        """Make a numbered record durable. Raises `OutboxError`."""
        self.outbox.append(_waiting(row), patience_s=_patience(patience_s))
        self._unnoted.append(row["sequence"])
        if self.threaded:
            self._courier.wake()

    def set_aside(self, row: Row, error: RecordError) -> None:
        """Keep a record that the database refuses, with the reason."""
        record = _waiting(row)
        with suppress(OutboxError):
            self.outbox.set_aside(record, error.sentence)
        self._on_set_aside(record, error)
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
            return bool(self._round(deadline, limit))
        except (DatabaseError, OutboxError):
            return True

    def flush(self, timeout_s: float, *, ending: bool = False) -> int:
        """Deliver what waits now; how many records still do when all is done, nothing helps, or time is up.

        When the process is `ending`, a database that is known to be down isn't waited for: the records lie safe.
        """
        hopeless = ending and self._breaker.error is not None and not self._settings.runtime.serverless
        began, end = time.time(), time.monotonic() + (min(timeout_s, _LAST_TRY_S) if hopeless else timeout_s)
        rounds = 0
        while self._drainers and (rounds % _COUNT_EVERY or self.depth(began).waiting or self._notes_wait()):
            rounds += 1
            try:
                more = self._round(end)
                if more is False:
                    break
                pause = _BUSY_PAUSE_S if more is None else 0.0
            except TransientError:
                if hopeless or not self.depth(began).waiting:  # what only tells about records can wait for the next
                    break
                pause = _FAILED_PAUSE_S
            except (DatabaseError, OutboxError):
                break
            if time.monotonic() + pause >= end:
                break
            time.sleep(pause)
        return self.depth(began).waiting

    def depth(self, before: float | None = None) -> Depth:
        """How much waits; nothing is known, and so nothing counted, where the outbox can't be read."""
        found = []
        for outbox in self._outboxes():
            with suppress(OutboxError):
                found.append(outbox.depth(before))
        oldest = [depth.oldest_at for depth in found if depth.oldest_at is not None]
        return Depth(
            sum(depth.waiting for depth in found), sum(depth.set_aside for depth in found), min(oldest, default=None)
        )

    def _notes_wait(self) -> bool:
        try:
            return any(outbox.notes(1) for outbox in self._outboxes())
        except OutboxError:
            return False

    def _outboxes(self) -> list[Outbox]:
        return [drainer.outbox for drainer in self._drainers] or [self.outbox]

    def _round_and_look(self, deadline: float) -> bool | None:
        more = self._round(deadline)
        self._budgets.look()
        return more

    def _round(self, deadline: float, limit: int | None = None) -> bool | None:
        more: bool | None = False
        answered = False
        for drainer in tuple(self._drainers):
            before = drainer.answers
            left = drainer.round(self._instance.name, deadline, **({"limit": limit} if limit else {}))
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

    def note_waiting(self, deadline: float) -> None:
        """Tell the ledger that earlier numbers wait, before later ones make them look lost."""
        if not self._unnoted or not self._delivery:
            return
        from tracker.recording.ledger import write_entries

        numbers = tuple(self._unnoted)
        entries = [entry("waiting", self._instance.place, first, last) for first, last in _runs(numbers)]

        def write(connection: Any, target: Any) -> None:
            if target.takes_notes:
                write_entries(connection, target, entries)

        self._delivery.tell(write, deadline)
        del self._unnoted[: len(numbers)]  # others may have come meanwhile

    # --- telling ---

    def alert(self, reason: str, error: str, **details: Any) -> None:
        """Raise an alert with the outbox's depth."""
        self.alerts.raise_alert(reason, error, depth=self._known_depth, **details)

    def _known_depth(self) -> int | None:
        try:
            return sum(outbox.depth(patience_s=_NOTE_PATIENCE_S).waiting for outbox in self._outboxes())
        except OutboxError:
            return None

    def _keep_alert(self, alert: dict[str, Any]) -> None:
        with suppress(OutboxError):
            self.outbox.note("alert", json.dumps({"id": str(uuid4()), **alert}), patience_s=_NOTE_PATIENCE_S)

    def note(self, line: dict[str, Any]) -> None:
        """A line for the ledger, written with the next delivery."""
        with suppress(OutboxError):
            self.outbox.note("ledger", json.dumps(line), patience_s=_NOTE_PATIENCE_S)

    def _on_set_aside(self, record: Waiting, error: RecordError) -> None:
        self.note(set_aside_entry(record))
        self.alert("set_aside", f"{error} It is kept in the outbox: token-tracker outbox list.", record_id=record.id)

    def _on_damage(self, aside: Any) -> None:
        self.alert("outbox_damaged", f"The outbox was damaged. It was moved to {aside}, and a new one begun.")

    def _on_trouble(self, error: Exception, lasting_s: float) -> None:
        """The thread couldn't deliver; what passes soon is worth no alert."""
        if isinstance(error, DatabaseError):
            self._breaker.opens(error)
            if isinstance(error, SetupError) or lasting_s >= self._settings.deadline_s:
                self.alert(error.code, str(error), elapsed_ms=round(lasting_s * 1000))
        elif isinstance(error, OutboxError):
            self.alert(error.code, str(error))
        else:
            self.alert("unexpected", f"Delivery failed with {type(error).__name__}; it goes on.")

    # --- beginning and ending ---

    def before_fork(self, stack: ExitStack) -> None:
        """Leave nothing of the outbox open or half done."""
        for outbox in self._outboxes():
            outbox.before_fork(stack)

    def after_fork(self, instance: Instance) -> None:
        """Begin anew in a forked child: its own thread, file and instance."""
        self._instance = instance
        self._unnoted = []
        for outbox in self._outboxes():
            outbox.after_fork()
        self.alerts.reset()
        self._budgets.reset()
        self._courier.reset()

    def close(self, alerts_timeout_s: float) -> None:
        """End the thread and close the files; both begin again when a record waits."""
        self._courier.stop()
        if self.threaded:
            self._budgets.look(ending=True)
        self.alerts.wait(alerts_timeout_s)
        for outbox in self._outboxes():
            outbox.close()


def _patience(seconds: float) -> float:
    return max(_SHORTEST_PATIENCE_S, min(_LONGEST_PATIENCE_S, seconds))


def _waiting(row: Row) -> Waiting:
    return Waiting(str(row["id"]), str(row["instance_id"]), row["sequence"], compact_document(row))


def _runs(numbers: Iterable[int]) -> list[tuple[int, int]]:
    """Sorted numbers as ranges without gaps.

    >>> _runs([7, 1, 2, 3])
    [(1, 3), (7, 7)]
    """
    runs: list[tuple[int, int]] = []
    for number in sorted(set(numbers)):
        if runs and runs[-1][1] == number - 1:
            runs[-1] = (runs[-1][0], number)
        else:
            runs.append((number, number))
    return runs
