"""Drains an outbox into the database: in the order of ids, deleting records after the commit."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from typing import Any

from tracker.database.failures import explain_refused_kind
from tracker.errors import DatabaseError, OutboxError, RecordError, SetupError, TableError
from tracker.recording.insert import DeliveryInfo, row_swallowed_error
from tracker.recording.loss_ledger import (
    make_entry,
    write_alerts,
    write_duplicates,
    write_entries,
    write_entries_if_allowed,
)
from tracker.recording.number_ranges import NumberRanges
from tracker.recording.outbox.drain_lock import DrainLease
from tracker.recording.outbox.held_records import HeldRecords
from tracker.recording.outbox.store import BATCH_CHARACTERS, Outbox, QueuedRecord
from tracker.recording.record_log import warn_once
from tracker.recording.retry import Delivery, DeliveryAttempts
from tracker.threads import BackgroundTask

BATCH_ROWS = 1000
# Other threads may enqueue more records. Between two rounds a caller checks whether its own records are delivered.
MAX_BATCHES = 10
# The longest time for the statement of one batch, so that a server that hangs doesn't block longer.
BATCH_TIMEOUT_S = 30.0
_MAX_INSTANCES = 10_000
# Shrinking a large file takes seconds. It is done in parts, so that other threads and the next round can run.
_SHRINK_S = 0.25
# The errors of a database without PL/pgSQL: a feature, the language or a right is missing, or the syntax is unknown.
_NO_PLPGSQL_STATES = {"0A000", "42704", "42501", "42601"}


class Drainer:
    """Delivers the records of one outbox in batches.

    A refused record doesn't delay the others. `on_dead_letter` is called for each record that becomes a dead letter.
    `on_held` is called once for each kind of refusal that is so frequent that the table is its cause: such records stay
    queued and are retried with backoff.
    """

    def __init__(
        self,
        outbox: Outbox,
        delivery: Delivery,
        on_dead_letter: Callable[[QueuedRecord, RecordError], None],
        on_held: Callable[[TableError], None] = lambda _: None,
    ) -> None:
        self.outbox = outbox
        self._delivery = delivery
        self._on_dead_letter = on_dead_letter
        self._on_held = on_held
        self.held = HeldRecords()
        self._failed_rounds = 0
        self._last_error: DatabaseError | None = None
        # The highest number of each process up to which each number has a row or a ledger line of kind "waiting".
        self._covered_through: dict[str, int] = {}
        self._reported_lines: set[str] = set()
        self._has_index: bool | None = None  # None: an earlier process may have left one
        self._supports_one_by_one = True
        # The records in one batch; fewer after a failure, because a slow network may not deliver more in time.
        self._batch_rows = BATCH_ROWS
        self.delivered = 0
        """The number of delivered records, including those that an earlier attempt had stored."""
        self.accepted_batches = 0
        """The number of batches that the database accepted."""

    def run_round(
        self,
        own_instances: Sequence[str],
        deadline: float,
        limit: int = BATCH_ROWS,
        batches: int = MAX_BATCHES,
        *,
        retry: bool = False,
    ) -> bool | None:
        """Deliver some batches; True if records remain, False if none do, None if another process drains the outbox.

        Also False if only `held` records remain; with `retry` these are retried regardless of their backoff. Raises
        `DatabaseError` and `OutboxError`; undelivered records then stay queued.
        """
        with self.outbox.hold_drain_lock() as lease:
            if lease is None:
                return None
            if self.outbox.empty():
                self._drop_index()
                return self.outbox.shrink(_SHRINK_S if limit == BATCH_ROWS and deadline > time.monotonic() else 0.0)
            try:
                lease.begin()
                self._retry_held(lease, own_instances, deadline, now=retry)
                is_complete = self._deliver_batches(lease, own_instances, deadline, limit, batches)
                self._move_dead_letters(lease)
                if is_complete:
                    self._deliver_notes(lease, _batch_deadline(deadline))
            except DatabaseError as error:
                self._failed_rounds += 1
                self._last_error = error.copy()
                self._batch_rows = max(1, self._batch_rows // 4)
                raise
            except OutboxError as error:
                if error.code != "drain_superseded":
                    raise
                warn_once(str(error))
                return None
            finally:
                lease.end()
            self._failed_rounds, self._last_error = 0, None
            if self.outbox.empty():
                self._drop_index()
                return False
            return not (is_complete and self._only_held_remain())

    def _drop_index(self) -> None:
        if self._has_index is not False:
            self.outbox.drop_index()
            self._has_index = False

    def _only_held_remain(self) -> bool:
        return bool(self.held) and not self._next_records(1) and not self.outbox.notes(1)

    def _deliver_batches(
        self, lease: DrainLease, own_instances: Sequence[str], deadline: float, limit: int, batches: int
    ) -> bool:
        """Deliver batches and read the next one in the meantime; returns whether all records were delivered."""
        delivered: list[QueuedRecord] = []
        records = self._next_records(limit)
        is_full = False
        for number in range(1, batches + 1):
            is_full = self._is_full(records, limit)
            if not records:
                break
            lease.renew()  # before the task, which locks the file for as long as the batch takes
            read_next = partial(self._remove_and_read_next, lease, delivered, records, limit)
            task = BackgroundTask(read_next) if is_full and number < batches else None
            try:
                self._deliver(lease, records, own_instances, _batch_deadline(deadline))
            finally:
                next_batch = task.result() if task else []
            self.accepted_batches += 1
            self._failed_rounds, self._last_error = 0, None
            self._batch_rows = min(BATCH_ROWS, self._batch_rows * 4)
            if not task:
                self.outbox.remove(delivered, lease)
            if is_full:
                self._report_overtaken(lease, records, _batch_deadline(deadline))
            delivered = [record for record in records if record.key not in self.held] if self.held else records
            records = next_batch
        self.outbox.remove(delivered, lease)
        return not is_full

    def _next_records(self, limit: int, after: QueuedRecord | None = None) -> list[QueuedRecord]:
        return self.outbox.next_records(
            min(limit, self._batch_rows), after, BATCH_CHARACTERS * self._batch_rows // BATCH_ROWS, self.held
        )

    def _is_full(self, records: Sequence[QueuedRecord], limit: int) -> bool:
        size = sum(len(record.document) for record in records)
        return len(records) >= min(limit, self._batch_rows) or size >= BATCH_CHARACTERS * self._batch_rows // BATCH_ROWS

    def _remove_and_read_next(
        self, lease: DrainLease, delivered: Sequence[QueuedRecord], sent: Sequence[QueuedRecord], limit: int
    ) -> list[QueuedRecord]:
        """Remove the delivered batch and read the batch after the one that is being delivered."""
        self.outbox.remove(delivered, lease)
        return self._next_records(limit, sent[-1])

    def _deliver(
        self, lease: DrainLease, records: Sequence[QueuedRecord], own_instances: Sequence[str], deadline: float
    ) -> None:
        documents = [record.document for record in records]
        attempts = DeliveryAttempts()
        attempts.error = self._last_error
        try:
            new = self._delivery.deliver_queued(
                documents, DeliveryInfo(own_instances, 0.0, self._failed_rounds), deadline, attempts
            )
        except RecordError as error:
            self._split(lease, records, own_instances, deadline, error)
            return
        self._after_delivery(lease, records, new, deadline)

    def _after_delivery(self, lease: DrainLease, records: Sequence[QueuedRecord], new: int, deadline: float) -> None:
        """Count the records that the database accepted, and report duplicates to the ledger."""
        if new < len(records):
            lease.renew()
            records = self._remove_swallowed(records, deadline)
            documents = [record.document for record in records]
            self._delivery.run_once(
                lambda connection, target: write_duplicates(connection, target, documents), deadline
            )
        self.delivered += len(records)

    def _remove_swallowed(self, records: Sequence[QueuedRecord], deadline: float) -> list[QueuedRecord]:
        """Make dead letters of the records that the table accepted but didn't store; returns the others."""
        missing = self._delivery.find_missing_ids([record.id for record in records], deadline)
        for record in records:
            if record.id in missing:
                self._add_dead_letter(record, row_swallowed_error())
        return [record for record in records if record.id not in missing]

    def _add_dead_letter(self, record: QueuedRecord, error: RecordError) -> None:
        self.outbox.add_dead_letter(record, error.sentence)
        self._on_dead_letter(record, error)

    def _split(
        self,
        lease: DrainLease,
        records: Sequence[QueuedRecord],
        own_instances: Sequence[str],
        deadline: float,
        error: RecordError,
    ) -> None:
        """Isolate the refused records: halve the batch, or insert one by one if many are refused."""
        if len(records) == 1:
            self._add_refused(records[0], error)
            return
        is_frequent = self.held.is_held(error.kind) or self._delivery.refused_kinds.is_systematic(error)
        if is_frequent and self._deliver_one_by_one(lease, records, own_instances, deadline):
            return
        middle = len(records) // 2
        for half in (records[:middle], records[middle:]):
            lease.renew()
            self._deliver(lease, half, own_instances, deadline)

    def _deliver_one_by_one(
        self, lease: DrainLease, records: Sequence[QueuedRecord], own_instances: Sequence[str], deadline: float
    ) -> bool:
        """Deliver the records that the table accepts in one transaction; returns False if that isn't possible."""
        if not self._supports_one_by_one:
            return False
        lease.renew()
        delivery_info = DeliveryInfo(own_instances, 0.0, self._failed_rounds)
        try:
            documents = [record.document for record in records]
            result = self._delivery.deliver_one_by_one(documents, delivery_info, deadline, DeliveryAttempts())
        except RecordError:  # a document that is not JSON, which halving the batch isolates
            return False
        except SetupError as error:
            if error.sqlstate not in _NO_PLPGSQL_STATES:
                raise
            self._supports_one_by_one = False  # a database without PL/pgSQL
            return False
        for position, refusal in result.refused.items():
            self._add_refused(records[position], refusal)
        accepted = [record for position, record in enumerate(records) if position not in result.refused]
        self._after_delivery(lease, accepted, result.new, deadline)
        return True

    def _add_refused(self, record: QueuedRecord, error: RecordError) -> None:
        self._delivery.refused_kinds.add(error)
        self.held.add(record, error)
        if error.kind and self._delivery.refused_kinds.is_systematic(error):
            reason = explain_refused_kind(error)
            if self.held.hold(error.kind, reason):
                self._on_held(reason)

    def _retry_held(self, lease: DrainLease, own_instances: Sequence[str], deadline: float, *, now: bool) -> None:
        """Retry some records of each kind that is due; if the table accepts one, all records of the kind are queued."""
        for kind in self.held.due(now=now):
            records = self.outbox.find(self.held.take_sample(kind))
            if records:
                lease.renew()
                self._deliver(lease, records, own_instances, _batch_deadline(deadline))
            accepted = [record for record in records if record.key not in self.held]
            self.outbox.remove(accepted, lease)
            if accepted or not records:
                self.held.release(kind)
            else:
                self.held.wait_longer(kind)

    def _move_dead_letters(self, lease: DrainLease) -> None:
        """Make dead letters of the refused records of kinds that are not systematic."""
        for record, error in self.held.take_single():
            lease.renew()
            self._add_dead_letter(record, error)
        for kind in self.held.end_round():
            self._delivery.refused_kinds.reset(kind)

    def _report_overtaken(self, lease: DrainLease, records: Sequence[QueuedRecord], deadline: float) -> None:
        """Report lower numbers that are still queued to the ledger: ids need not be in the order of the numbers.

        Reported numbers are not queried again, so that all batches together read each number once.
        """
        numbers: dict[str, set[int]] = {}
        for record in records:
            numbers.setdefault(record.instance, set()).add(record.sequence)
        entries = []
        covered_through: dict[str, int] = {}
        for record in {record.instance: record for record in records}.values():
            sent = numbers[record.instance]
            covered, last = self._covered_through.get(record.instance, 0), max(sent)
            if last <= covered:
                continue  # all numbers were reported
            covered_through[record.instance] = last
            if last - covered == len(sent) and min(sent) == covered + 1:
                continue  # the usual case: the next numbers without a gap
            if not self._has_index:
                self.outbox.add_index()
                self._has_index = True
            queued = NumberRanges()
            for number_range in self.outbox.ranges(record.instance, covered, last):
                queued.add_range(number_range)
            fields = _runtime_fields(record)
            entries += [make_entry("waiting", fields, *number_range) for number_range in queued.without(sent)]
        if entries:
            lease.renew()
            self._delivery.run_once(partial(write_entries_if_allowed, entries=entries), deadline)
        if len(self._covered_through) > _MAX_INSTANCES:
            self._covered_through.clear()
        self._covered_through.update(covered_through)

    def _deliver_notes(self, lease: DrainLease, deadline: float) -> None:
        """Write the queued ledger lines and alerts; without the right to write them, they are discarded."""
        notes = self.outbox.notes(BATCH_ROWS)
        if not notes:
            return

        def write(connection: Any, target: Any) -> None:
            for kind, write_documents in (("ledger", write_entries), ("alert", write_alerts)):
                texts = [text for _, note_kind, text in notes if note_kind == kind]
                if target.can_write_ledger and texts:
                    write_documents(connection, target, [json.loads(text) for text in texts])

        lease.renew()
        with suppress(RecordError):  # a note of a damaged file may be invalid
            self._delivery.run_once(write, deadline)
        self.outbox.remove_notes([number for number, _, _ in notes], lease)

    def report_queued(self, deadline: float) -> None:
        """Report the queued numbers to the ledger, also while another process drains the outbox.

        Otherwise the queued numbers would look lost when a higher number of their process is stored. Raises
        `DatabaseError`.
        """
        entries = [
            make_entry("waiting", _runtime_fields(record), first, last)
            for record, ranges in self.outbox.all_ranges()
            for first, last in ranges
        ]
        new_lines = {json.dumps(entry) for entry in entries} - self._reported_lines
        if new_lines:
            new_entries = [json.loads(line) for line in new_lines]
            self._delivery.run_once(partial(write_entries_if_allowed, entries=new_entries), _batch_deadline(deadline))
        known_lines = self._reported_lines if len(self._reported_lines) < _MAX_INSTANCES else set()
        self._reported_lines = new_lines | known_lines


def dead_letter_entry(record: QueuedRecord) -> dict[str, Any]:
    """The ledger line for a dead letter."""
    return make_entry("set_aside", _runtime_fields(record), record.sequence)


def _runtime_fields(record: QueuedRecord) -> dict[str, Any]:
    """The environment and deployment of a record, if its document is readable."""
    try:
        return {**json.loads(record.document), "instance_id": record.instance}
    except (ValueError, TypeError):  # the document is not JSON, which may be the reason why it was refused
        return {"instance_id": record.instance}


def _batch_deadline(deadline: float) -> float:
    return min(deadline, time.monotonic() + BATCH_TIMEOUT_S)
