"""From the outbox into the database: in the order of ids, deleted after the commit, doubles harmless."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

from tracker.errors import DatabaseError, RecordError
from tracker.recording.delivery import Attempts, Delivery
from tracker.recording.ledger import entry, note_duplicates, write_alerts, write_entries
from tracker.recording.outbox import Outbox, Waiting
from tracker.recording.statement import Arrival, swallowed

BATCH = 1000
# One statement of a batch never needs longer; a server that hangs is left alone after it.
ROUND_S = 30.0


class Drainer:
    """Delivers what waits in one outbox, a batch a round.

    `on_set_aside` is told of each record that the database refuses: it stops nobody else's delivery.
    """

    def __init__(
        self, outbox: Outbox, delivery: Delivery, on_set_aside: Callable[[Waiting, RecordError], None]
    ) -> None:
        self.outbox = outbox
        self._delivery = delivery
        self._on_set_aside = on_set_aside
        self._failed_rounds = 0
        self._last_error: DatabaseError | None = None
        self._done_through: dict[str, int] = {}
        self.delivered = 0
        """How many records arrived so far, those included that had arrived before."""
        self.answers = 0
        """How many rounds the database took part in."""

    def round(self, own_instance: str | None, deadline: float, limit: int = BATCH) -> bool | None:
        """Deliver one batch; True when more waits, False when nothing does, None when another process is at it.

        Raises `DatabaseError` and `OutboxError`; then everything still waits.
        """
        with self.outbox.drainer() as mine:
            if not mine:
                return None
            records = self.outbox.waiting(limit)
            deadline = min(deadline, time.monotonic() + ROUND_S)
            try:
                if records:
                    self._deliver(records, own_instance, deadline)
                    if len(records) == limit:
                        self._note_overtaken(records, deadline)
                    self.outbox.remove(records)
                if len(records) < limit:
                    self._tell(deadline)
            except DatabaseError as error:
                self._failed_rounds += 1
                self._last_error = error
                raise
            self._failed_rounds, self._last_error = 0, None
            self.answers += bool(records)
            return not self.outbox.empty()

    def _deliver(self, records: Sequence[Waiting], own_instance: str | None, deadline: float) -> None:
        documents = [record.document for record in records]
        attempts = Attempts()
        attempts.error = self._last_error
        try:
            new = self._delivery.deliver_waiting(
                documents, Arrival(own_instance, 0.0, self._failed_rounds), deadline, attempts
            )
        except RecordError as error:
            self._divide(records, own_instance, deadline, error)
            return
        if new < len(records):
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
        self, records: Sequence[Waiting], own_instance: str | None, deadline: float, error: RecordError
    ) -> None:
        """One of these is refused: halve the batch until it stands alone."""
        if len(records) == 1:
            self._set_aside(records[0], error)
            return
        middle = len(records) // 2
        for half in (records[:middle], records[middle:]):
            self._deliver(half, own_instance, deadline)

    def _note_overtaken(self, records: Sequence[Waiting], deadline: float) -> None:
        """Tell the ledger which earlier numbers still wait: ids needn't be in the order of numbers."""
        numbers: dict[str, set[int]] = {}
        for record in records:
            numbers.setdefault(record.instance, set()).add(record.sequence)
        entries = []
        for record in {record.instance: record for record in records}.values():
            mine = numbers[record.instance]
            done, last = self._done_through.get(record.instance, 0), max(mine)
            self._done_through[record.instance] = last
            if last - done == len(mine) and min(mine) == done + 1:
                continue  # the usual case: the next numbers without a gap, nothing was overtaken
            place = json.loads(record.document)
            entries += [
                entry("waiting", place, sequence)
                for sequence in self.outbox.earlier(record.instance, last)
                if sequence not in mine
            ]
        if entries:
            self._delivery.tell(
                lambda connection, target: write_entries(connection, target, entries) if target.takes_notes else None,
                deadline,
            )

    def _tell(self, deadline: float) -> None:
        """Hand the ledger's lines and the alerts on; where this role may not write them, they are forgotten."""
        notes = self.outbox.notes(BATCH)
        if not notes:
            return

        def write(connection: Any, target: Any) -> None:
            for kind, table in (("ledger", write_entries), ("alert", write_alerts)):
                if target.takes_notes and (found := [json.loads(text) for _, sort, text in notes if sort == kind]):
                    table(connection, target, found)

        with suppress(RecordError):  # what a damaged file made of a note can't be told
            self._delivery.tell(write, deadline)
        self.outbox.remove_notes([number for number, _, _ in notes])


def set_aside_entry(record: Waiting) -> dict[str, Any]:
    """The ledger's line for a record that was set aside."""
    try:
        place = {**json.loads(record.document), "instance_id": record.instance}
    except ValueError:  # which may be just why it was refused
        place = {"instance_id": record.instance}
    return entry("set_aside", place, record.sequence)
