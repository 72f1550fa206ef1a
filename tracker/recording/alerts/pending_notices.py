"""What is said besides the records: alerts to people, and lines for the ledger that wait with the records."""

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

# What only tells about a record hardly waits for an outbox that another process holds locked; the ledger's lines
# are what its counts rest on.
_LOCK_TIMEOUT_S = 0.02
_LEDGER_LOCK_TIMEOUT_S = 0.2


class PendingNotices:
    """Speaks for one Tracker. `outboxes` are those whose depth an alert gives; the first one keeps what can wait."""

    def __init__(self, settings: Settings, breaker: CircuitBreaker, outboxes: Callable[[], Sequence[Outbox]]) -> None:
        self._settings = settings
        self._breaker = breaker
        self._outboxes = outboxes
        self._reset()
        self.alerts = Alerts(settings.alert_urls, settings.runtime, self._keep_alert)

    def _reset(self) -> None:
        self._lock = CallLock()
        self._unreported = NumberRanges()

    def reset(self) -> None:
        """Begin anew in a forked child."""
        self._reset()
        self.alerts.reset()

    # --- alerts ---

    def alert(self, reason: str, error: str, **details: Any) -> None:
        """Raise an alert with the outbox's depth."""
        self.alerts.raise_alert(reason, error, depth=self._known_depth, **details)

    def _known_depth(self) -> int | None:
        try:
            return sum(outbox.depth(lock_timeout_s=_LOCK_TIMEOUT_S).waiting for outbox in self._outboxes())
        except OutboxError:
            return None

    def _keep_alert(self, alert: dict[str, Any]) -> None:
        self._keep("alert", {"id": str(uuid4()), **alert}, _LOCK_TIMEOUT_S)

    def on_dead_letter(self, record: QueuedRecord, error: RecordError) -> None:
        self.note(dead_letter_entry(record))
        self.alert("set_aside", f"{error} It is kept in the outbox: token-tracker outbox list.", record_id=record.id)

    def on_held(self, error: TableError) -> None:
        """The records of one kind wait."""
        self.alert(error.code, error.text_for_alerts)

    def on_damage(self, aside: Any) -> None:
        self.alert(
            "outbox_damaged",
            f"The outbox was damaged. It was moved to {aside}, and a new one begun. Recover its records:"
            f" token-tracker outbox drain --from {aside}",
        )

    def on_delivery_failure(self, error: Exception, lasting_s: float) -> None:
        """The thread couldn't deliver; what passes soon is worth no alert."""
        if isinstance(error, DatabaseError):
            self._breaker.record_failure(error)
            if isinstance(error, SetupError) or lasting_s >= self._settings.deadline_s:
                self.alert(error.code, error.text_for_alerts, elapsed_ms=round(lasting_s * 1000))
        elif isinstance(error, OutboxError):
            self.alert(error.code, str(error))
        else:
            self.alert("unexpected", f"Delivery failed with {type(error).__name__}; it goes on.")

    # --- the ledger ---

    def note(self, line: dict[str, Any]) -> None:
        """A line for the ledger, written with the next delivery."""
        self._keep("ledger", line, _LEDGER_LOCK_TIMEOUT_S)

    def _keep(self, kind: str, document: dict[str, Any], lock_timeout_s: float) -> None:
        for outbox in self._outboxes():  # the first one may be locked
            with suppress(OutboxError):
                outbox.note(kind, json.dumps(document), lock_timeout_s=lock_timeout_s)
                return

    def waits(self, first: int, last: int) -> None:
        """The records of these numbers went into the outbox while later ones may go straight through."""
        if first <= last:
            with self._lock:
                self._unreported.add_range((first, last))

    def take_unreported(self, place: Mapping[str, Any]) -> list[dict[str, Any]]:
        """The ledger's lines about numbers that wait, which it must have before or with the next row."""
        if not self._unreported.ranges:
            return []
        with self._lock:
            numbers, self._unreported = self._unreported, NumberRanges()
        return [make_entry("waiting", place, first, last) for first, last in numbers.ranges]

    def put_back(self, entries: Sequence[dict[str, Any]]) -> None:
        """These lines couldn't be written."""
        for line in entries:
            self.waits(line["first_sequence"], line["last_sequence"])
