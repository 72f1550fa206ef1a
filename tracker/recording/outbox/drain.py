"""From the outbox into the database: in the order of ids, deleted after the commit, doubles harmless."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from typing import Any

from tracker.database.failures import explain_refused_kind
from tracker.errors import DatabaseError, OutboxError, RecordError, SetupError, TableError
from tracker.recording.insert import Arrival, swallowed
from tracker.recording.loss_ledger import entry, note_duplicates, write_alerts, write_entries, write_entries_if_allowed
from tracker.recording.number_ranges import NumberRanges
from tracker.recording.outbox.drain_lock import Turn
from tracker.recording.outbox.held_records import Held
from tracker.recording.outbox.store import BATCH_SIZE, Outbox, Waiting
from tracker.recording.record_log import warn_once
from tracker.recording.retry import Attempts, Delivery
from tracker.threads import Aside

BATCH = 1000
# Others may go on adding: between rounds a caller looks whether what it waits for is through.
BATCHES = 10
# One statement of a batch never needs longer; a server that hangs is left alone after it.
BATCH_S = 30.0
_MOST_INSTANCES = 10_000
# Giving a large file's pages back takes seconds; others get their turn in between, and so does the next round.
_SHRINKING_S = 0.25
# What a database without PL/pgSQL answers: a feature, the language or a right is missing, or the syntax is unknown.
_NO_LOOP = {"0A000", "42704", "42501", "42601"}


class Drainer:
    """Delivers what waits in one outbox, batch by batch.

    A refused record delays no other one. `on_set_aside` is called with each that is set aside, `on_held` once with
    each kind of refusal of which so many occur that the table is the cause: its records wait, and are retried with
    backoff.
    """

    def __init__(
        self,
        outbox: Outbox,
        delivery: Delivery,
        on_set_aside: Callable[[Waiting, RecordError], None],
        on_held: Callable[[TableError], None] = lambda _: None,
    ) -> None:
        self.outbox = outbox
        self._delivery = delivery
        self._on_set_aside = on_set_aside
        self._on_held = on_held
        self.held = Held()
        self._failed_rounds = 0
        self._last_error: DatabaseError | None = None
        # Up to which number of a process all have a row or were told to the ledger as waiting.
        self._done_through: dict[str, int] = {}
        self._told: set[str] = set()
        self._indexed = False
        self._each_works = True
        # How many records a batch holds; fewer after a failure, since a slow line may take no more in time.
        self._share = BATCH
        self.delivered = 0
        """How many records arrived so far, those included that had arrived before."""
        self.answers = 0
        """How many batches the database took."""

    def round(
        self,
        own_instances: Sequence[str],
        deadline: float,
        limit: int = BATCH,
        batches: int = BATCHES,
        *,
        retry: bool = False,
    ) -> bool | None:
        """Deliver a few batches; True when more waits, False when nothing does, None when another process is at it.

        False also when only records wait that are `held`; with `retry` they are tried whatever their backoff is.
        Raises `DatabaseError` and `OutboxError`; then what wasn't delivered still waits.
        """
        with self.outbox.drainer() as turn:
            if turn is None:
                return None
            if self.outbox.empty():
                return self.outbox.shrink(_SHRINKING_S if limit == BATCH and deadline > time.monotonic() else 0.0)
            try:
                turn.begin()
                if not self._indexed:
                    self.outbox.add_index()
                    self._indexed = True
                self._retry_held(turn, own_instances, deadline, now=retry)
                through = self._batches(turn, own_instances, deadline, limit, batches)
                self._settle(turn)
                if through:
                    self._tell(turn, _soon(deadline))
            except DatabaseError as error:
                self._failed_rounds += 1
                self._last_error = error.copy()
                self._share = max(1, self._share // 4)
                raise
            except OutboxError as error:
                if error.code != "drain_superseded":
                    raise
                warn_once(str(error))
                return None
            finally:
                turn.end()
            self._failed_rounds, self._last_error = 0, None
            return not self.outbox.empty() and not (through and self._only_held_wait())

    def _only_held_wait(self) -> bool:
        return bool(self.held) and not self._next(1) and not self.outbox.notes(1)

    def _batches(self, turn: Turn, own_instances: Sequence[str], deadline: float, limit: int, batches: int) -> bool:
        """Deliver batch after batch; whether that was all. While the server is at one, the next is read."""
        arrived: list[Waiting] = []
        records = self._next(limit)
        full = False
        for number in range(1, batches + 1):
            full = self._is_full(records, limit)
            if not records:
                break
            ahead = Aside(partial(self._step, turn, arrived, records, limit)) if full and number < batches else None
            try:
                self._deliver(turn, records, own_instances, _soon(deadline))
            finally:
                following = ahead.result() if ahead else []
            self.answers += 1
            self._failed_rounds, self._last_error = 0, None
            self._share = min(BATCH, self._share * 4)
            if not ahead:
                self.outbox.remove(arrived, turn)
            if full:
                self._note_overtaken(turn, records, _soon(deadline))
            arrived, records = [record for record in records if record.key not in self.held], following
        self.outbox.remove(arrived, turn)
        return not full

    def _next(self, limit: int, after: Waiting | None = None) -> list[Waiting]:
        return self.outbox.waiting(min(limit, self._share), after, BATCH_SIZE * self._share // BATCH, self.held)

    def _is_full(self, records: Sequence[Waiting], limit: int) -> bool:
        size = sum(len(record.document) for record in records)
        return len(records) >= min(limit, self._share) or size >= BATCH_SIZE * self._share // BATCH

    def _step(self, turn: Turn, arrived: Sequence[Waiting], sent: Sequence[Waiting], limit: int) -> list[Waiting]:
        """Forget the batch that arrived and read the one behind that which is on its way."""
        self.outbox.remove(arrived, turn)
        return self._next(limit, sent[-1])

    def _deliver(self, turn: Turn, records: Sequence[Waiting], own_instances: Sequence[str], deadline: float) -> None:
        turn.renew()
        documents = [record.document for record in records]
        attempts = Attempts()
        attempts.error = self._last_error
        try:
            new = self._delivery.deliver_waiting(
                documents, Arrival(own_instances, 0.0, self._failed_rounds), deadline, attempts
            )
        except RecordError as error:
            self._divide(turn, records, own_instances, deadline, error)
            return
        self._arrived(turn, records, new, deadline)

    def _arrived(self, turn: Turn, records: Sequence[Waiting], new: int, deadline: float) -> None:
        """The database took these; fewer may be new."""
        if new < len(records):
            turn.renew()
            records = self._without_swallowed(records, deadline)
            documents = [record.document for record in records]
            self._delivery.tell(lambda connection, target: note_duplicates(connection, target, documents), deadline)
        self.delivered += len(records)

    def _without_swallowed(self, records: Sequence[Waiting], deadline: float) -> list[Waiting]:
        """Set those aside that the table took and didn't store; the others."""
        gone = self._delivery.absent([record.id for record in records], deadline)
        for record in records:
            if record.id in gone:
                self._set_aside(record, swallowed())
        return [record for record in records if record.id not in gone]

    def _set_aside(self, record: Waiting, error: RecordError) -> None:
        self.outbox.set_aside(record, error.sentence)
        self._on_set_aside(record, error)

    def _divide(
        self,
        turn: Turn,
        records: Sequence[Waiting],
        own_instances: Sequence[str],
        deadline: float,
        error: RecordError,
    ) -> None:
        """One of these is refused: halve the batch until it is alone, or insert each by itself where many are."""
        if len(records) == 1:
            self._refused(records[0], error)
            return
        many = self.held.is_held(error.kind) or self._delivery.kinds.is_systematic(error)
        if many and self._deliver_each(turn, records, own_instances, deadline):
            return
        middle = len(records) // 2
        for half in (records[:middle], records[middle:]):
            self._deliver(turn, half, own_instances, deadline)

    def _deliver_each(
        self, turn: Turn, records: Sequence[Waiting], own_instances: Sequence[str], deadline: float
    ) -> bool:
        """Deliver what the table takes of these in one transaction; False where that can't be done."""
        if not self._each_works:
            return False
        turn.renew()
        arrival = Arrival(own_instances, 0.0, self._failed_rounds)
        try:
            documents = [record.document for record in records]
            found = self._delivery.deliver_each(documents, arrival, deadline, Attempts())
        except RecordError:  # a document that is no JSON, which the halves tell apart
            return False
        except SetupError as error:
            if error.sqlstate not in _NO_LOOP:
                raise
            self._each_works = False  # a database without PL/pgSQL
            return False
        for position, refusal in found.refused.items():
            self._refused(records[position], refusal)
        taken = [record for position, record in enumerate(records) if position not in found.refused]
        self._arrived(turn, taken, found.new, deadline)
        return True

    def _refused(self, record: Waiting, error: RecordError) -> None:
        self._delivery.kinds.add(error)
        self.held.add(record, error)
        if error.kind and self._delivery.kinds.is_systematic(error):
            reason = explain_refused_kind(error)
            if self.held.hold(error.kind, reason):
                self._on_held(reason)

    def _retry_held(self, turn: Turn, own_instances: Sequence[str], deadline: float, *, now: bool) -> None:
        """Try some records of each kind whose time has come; where the table takes one, all are delivered again."""
        for kind in self.held.due(now=now):
            records = self.outbox.find(self.held.take_sample(kind))
            if records:
                self._deliver(turn, records, own_instances, _soon(deadline))
            taken = [record for record in records if record.key not in self.held]
            self.outbox.remove(taken, turn)
            if taken or not records:
                self.held.release(kind)
            else:
                self.held.wait_longer(kind)

    def _settle(self, turn: Turn) -> None:
        """Set aside the records whose refusal concerns them alone."""
        for record, error in self.held.take_single():
            turn.renew()
            self._set_aside(record, error)
        for kind in self.held.end_round():
            self._delivery.kinds.forget(kind)

    def _note_overtaken(self, turn: Turn, records: Sequence[Waiting], deadline: float) -> None:
        """Tell the ledger which earlier numbers still wait: ids needn't be in the order of numbers.

        What was told once isn't asked again, so that all batches together read each number once.
        """
        numbers: dict[str, set[int]] = {}
        for record in records:
            numbers.setdefault(record.instance, set()).add(record.sequence)
        entries = []
        through: dict[str, int] = {}
        for record in {record.instance: record for record in records}.values():
            mine = numbers[record.instance]
            done, last = self._done_through.get(record.instance, 0), max(mine)
            if last <= done:
                continue  # all of them were told
            through[record.instance] = last
            if last - done == len(mine) and min(mine) == done + 1:
                continue  # the usual case: the next numbers without a gap, nothing was overtaken
            waiting = NumberRanges()
            for found in self.outbox.ranges(record.instance, done, last):
                waiting.add_range(found)
            entries += [entry("waiting", _place(record), *found) for found in waiting.without(mine)]
        if entries:
            turn.renew()
            self._delivery.tell(partial(write_entries_if_allowed, entries=entries), deadline)
        if len(self._done_through) > _MOST_INSTANCES:
            self._done_through.clear()
        self._done_through.update(through)

    def _tell(self, turn: Turn, deadline: float) -> None:
        """Hand the ledger's lines and the alerts on; where this role may not write them, they are forgotten."""
        notes = self.outbox.notes(BATCH)
        if not notes:
            return

        def write(connection: Any, target: Any) -> None:
            for kind, table in (("ledger", write_entries), ("alert", write_alerts)):
                if target.can_write_ledger and (found := [json.loads(text) for _, sort, text in notes if sort == kind]):
                    table(connection, target, found)

        turn.renew()
        with suppress(RecordError):  # what a damaged file made of a note can't be told
            self._delivery.tell(write, deadline)
        self.outbox.remove_notes([number for number, _, _ in notes], turn)

    def tell_waiting(self, deadline: float) -> None:
        """Tell the ledger what waits in this outbox, also while another process drains it. Raises `DatabaseError`.

        Otherwise the numbers that wait would look lost once a later number of their process is in the database.
        """
        entries = [
            entry("waiting", _place(record), first, last)
            for record, ranges in self.outbox.all_ranges()
            for first, last in ranges
        ]
        fresh = {json.dumps(found) for found in entries} - self._told
        if fresh:
            lines = [json.loads(found) for found in fresh]
            self._delivery.tell(partial(write_entries_if_allowed, entries=lines), _soon(deadline))
        self._told = fresh | (self._told if len(self._told) < _MOST_INSTANCES else set())


def set_aside_entry(record: Waiting) -> dict[str, Any]:
    """The ledger's line for a record that was set aside."""
    return entry("set_aside", _place(record), record.sequence)


def _place(record: Waiting) -> dict[str, Any]:
    """Where a record comes from, as far as that can be read."""
    try:
        return {**json.loads(record.document), "instance_id": record.instance}
    except (ValueError, TypeError):  # no JSON any more, which may be just why it was refused
        return {"instance_id": record.instance}


def _soon(deadline: float) -> float:
    return min(deadline, time.monotonic() + BATCH_S)
