"""Alerts and ledger lines of one Tracker, which are queued in the outbox until they can be written."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from tracker.errors import DatabaseError, OutboxError, RecordError, SetupError, TableError
from tracker.recording.alerts.failure_alerts import Alerts
from tracker.recording.loss_ledger import make_entry
from tracker.recording.number_ranges import NumberRanges
from tracker.recording.outbox.drain import dead_letter_entry
from tracker.recording.outbox.store import Outbox, QueuedRecord
from tracker.threads import CallLock

if TYPE_CHECKING:
    from tracker.recording.circuit_breaker import CircuitBreaker
    from tracker.settings import Settings

# An alert hardly waits for an outbox that another process has locked. A ledger line waits longer, because counts
# depend on it.
_LOCK_TIMEOUT_S = 0.02
_LEDGER_LOCK_TIMEOUT_S = 0.2


class PendingNotices:
    """The alerts and ledger lines of one Tracker. Alerts contain the depth of `outboxes`; the first stores notes."""

    def __init__(self, settings: Settings, breaker: CircuitBreaker, outboxes: Callable[[], Sequence[Outbox]]) -> None:
        self._settings = settings
        self._breaker = breaker
        self._outboxes = outboxes
        self._reset()
        self.alerts = Alerts(settings.alert_urls, settings.runtime, self._store_alert)

    def _reset(self) -> None:
        self._lock = CallLock()
        self._unreported = NumberRanges()

    def reset(self) -> None:
        """Reset in a forked child."""
        self._reset()
        self.alerts.reset()

    # --- alerts ---

    def alert(self, reason: str, error: str, **details: Any) -> None:
        """Raise an alert that contains the outbox depth."""
        self.alerts.raise_alert(reason, error, depth=self._depth_or_none, **details)

    def _depth_or_none(self) -> int | None:
        try:
            return sum(outbox.depth(lock_timeout_s=_LOCK_TIMEOUT_S).waiting for outbox in self._outboxes())
        except OutboxError:
            return None

    def _store_alert(self, alert: dict[str, Any]) -> None:
        self._store_note("alert", {"id": str(uuid4()), **alert}, _LOCK_TIMEOUT_S)

    def on_dead_letter(self, record: QueuedRecord, error: RecordError) -> None:
        self.note(dead_letter_entry(record))
        self.alert("set_aside", f"{error} It is kept in the outbox: token-tracker outbox list.", record_id=record.id)

    def on_held(self, error: TableError) -> None:
        """Raise an alert, because the records of one kind of refusal are held."""
        self.alert(error.code, error.text_for_alerts)

    def on_damage(self, damaged_path: Any) -> None:
        self.alert(
            "outbox_damaged",
            f"The outbox was damaged. It was moved to {damaged_path}, and a new one was created. Recover its records:"
            f" token-tracker outbox drain --from {damaged_path}",
        )

    def on_delivery_failure(self, error: Exception, lasting_s: float) -> None:
        """Raise an alert for a delivery failure, unless it is transient and short."""
        if isinstance(error, DatabaseError):
            self._breaker.record_failure(error)
            if isinstance(error, SetupError) or lasting_s >= self._settings.deadline_s:
                self.alert(error.code, error.text_for_alerts, elapsed_ms=round(lasting_s * 1000))
        elif isinstance(error, OutboxError):
            self.alert(error.code, str(error))
        else:
            self.alert("unexpected", f"Delivery failed with {type(error).__name__}; it is retried.")

    # --- the ledger ---

    def note(self, line: dict[str, Any]) -> None:
        """Queue a ledger line, which the next delivery writes."""
        self._store_note("ledger", line, _LEDGER_LOCK_TIMEOUT_S)

    def _store_note(self, kind: str, document: dict[str, Any], lock_timeout_s: float) -> None:
        for outbox in self._outboxes():  # the first one may be locked
            with suppress(OutboxError):
                outbox.note(kind, json.dumps(document), lock_timeout_s=lock_timeout_s)
                return

    def add_queued(self, first: int, last: int) -> None:
        """Register numbers that are in the outbox while later ones may be written directly."""
        if first <= last:
            with self._lock:
                self._unreported.add_range((first, last))

    def take_unreported(self, runtime_fields: Mapping[str, Any]) -> list[dict[str, Any]]:
        """The ledger lines about queued numbers, which must be written before or with the next row."""
        if not self._unreported.ranges:
            return []
        with self._lock:
            numbers, self._unreported = self._unreported, NumberRanges()
        return [make_entry("waiting", runtime_fields, first, last) for first, last in numbers.ranges]

    def restore_unreported(self, entries: Sequence[dict[str, Any]]) -> None:
        """Register the numbers of lines that couldn't be written again."""
        for line in entries:
            self.add_queued(line["first_sequence"], line["last_sequence"])
