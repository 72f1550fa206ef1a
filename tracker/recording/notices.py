"""What is said besides the records: alerts to people, and lines for the ledger that wait with the records."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from tracker.errors import DatabaseError, OutboxError, RecordError, SetupError
from tracker.recording.alerts import Alerts
from tracker.recording.drain import set_aside_entry
from tracker.recording.instance import Instance
from tracker.recording.ledger import entry, write_entries
from tracker.recording.outbox import Outbox, Waiting

if TYPE_CHECKING:
    from tracker.recording.breaker import Breaker
    from tracker.recording.delivery import Delivery
    from tracker.settings import Settings

# What only tells about a record hardly waits for an outbox that another process holds locked; the ledger's lines
# are what its counts rest on.
_PATIENCE_S = 0.02
_LEDGER_PATIENCE_S = 0.2


class Notices:
    """Speaks for one Tracker. `outboxes` are those whose depth an alert gives; the first one keeps what can wait."""

    def __init__(self, settings: Settings, breaker: Breaker, outboxes: Callable[[], Sequence[Outbox]]) -> None:
        self._settings = settings
        self._breaker = breaker
        self._outboxes = outboxes
        self._unnoted: list[int] = []
        self.alerts = Alerts(settings.alert_urls, settings.runtime, self._keep_alert)

    def reset(self) -> None:
        """Begin anew in a forked child."""
        self._unnoted = []
        self.alerts.reset()

    # --- alerts ---

    def alert(self, reason: str, error: str, **details: Any) -> None:
        """Raise an alert with the outbox's depth."""
        self.alerts.raise_alert(reason, error, depth=self._known_depth, **details)

    def _known_depth(self) -> int | None:
        try:
            return sum(outbox.depth(patience_s=_PATIENCE_S).waiting for outbox in self._outboxes())
        except OutboxError:
            return None

    def _keep_alert(self, alert: dict[str, Any]) -> None:
        self._keep("alert", {"id": str(uuid4()), **alert}, _PATIENCE_S)

    def on_set_aside(self, record: Waiting, error: RecordError) -> None:
        self.note(set_aside_entry(record))
        self.alert("set_aside", f"{error} It is kept in the outbox: token-tracker outbox list.", record_id=record.id)

    def on_damage(self, aside: Any) -> None:
        self.alert("outbox_damaged", f"The outbox was damaged. It was moved to {aside}, and a new one begun.")

    def on_trouble(self, error: Exception, lasting_s: float) -> None:
        """The thread couldn't deliver; what passes soon is worth no alert."""
        if isinstance(error, DatabaseError):
            self._breaker.opens(error)
            if isinstance(error, SetupError) or lasting_s >= self._settings.deadline_s:
                self.alert(error.code, error.text_for_alerts, elapsed_ms=round(lasting_s * 1000))
        elif isinstance(error, OutboxError):
            self.alert(error.code, str(error))
        else:
            self.alert("unexpected", f"Delivery failed with {type(error).__name__}; it goes on.")

    # --- the ledger ---

    def note(self, line: dict[str, Any]) -> None:
        """A line for the ledger, written with the next delivery."""
        self._keep("ledger", line, _LEDGER_PATIENCE_S)

    def _keep(self, kind: str, document: dict[str, Any], patience_s: float) -> None:
        with suppress(OutboxError):
            self._outboxes()[0].note(kind, json.dumps(document), patience_s=patience_s)

    def waits(self, number: int) -> None:
        """This number's record went into the outbox while later ones may go straight through."""
        self._unnoted.append(number)

    def tell_waiting(self, delivery: Delivery, instance: Instance, deadline: float) -> None:
        """Tell the ledger that earlier numbers wait, before later ones make them look lost. Raises `DatabaseError`."""
        numbers, self._unnoted = self._unnoted, []
        if not numbers:
            return
        entries = [entry("waiting", instance.place, first, last) for first, last in _runs(numbers)]

        def write(connection: Any, target: Any) -> None:
            if target.takes_notes:
                write_entries(connection, target, entries)

        try:
            delivery.tell(write, deadline)
        except DatabaseError:
            self._unnoted += numbers
            raise


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
