"""Direct mode: write through; what can't be written in time waits in the outbox."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from tracker.database import connect
from tracker.database.connect import elapsed_ms
from tracker.database.failures import explain_refused_kind
from tracker.errors import DatabaseError, OutboxError, RecordError, SetupError, TableError
from tracker.outcome import Outcome
from tracker.recording import record_log
from tracker.recording.retry import Attempts, Delivery
from tracker.threads import call_limit, fork_gate

if TYPE_CHECKING:
    from tracker.recording.circuit_breaker import Breaker
    from tracker.recording.outbox.queue import Journal

# On serverless the outbox is emptied in the callers' own time: a batch in one round trip, while enough is left.
_CATCH_UP_ROWS = 200
_CATCH_UP_LEFT_S = 1.0
# A caller in such a hurry learns nothing about the database when it is too late.
_TELLING_S = 0.25
_TOO_LATE = {"deadline", "timeout"}
# What is lacking on this side says nothing about the database.
_OUR_OWN = {"pool_exhausted", "no_thread"}
# By how much of its deadline a record may be late when the outbox is locked too; as much is kept back for opening it.
_LATE_SHARE = 0.1
_RESERVE_S = 1.0
# Importing and opening the outbox takes that long on a busy machine, once in a process.
_OPENING_S, _OPENING_SHARE = 0.15, 0.15


class DirectWriter:
    """Writes a row before it returns, and answers for it: recorded, duplicate, queued or failed."""

    def __init__(
        self,
        delivery: Delivery | None,
        trouble: SetupError | None,
        breaker: Breaker,
        journal: Callable[[], Journal],
        used_journal: Callable[[], Journal | None],
        *,
        disk_dies: bool,
    ) -> None:
        self._delivery = delivery
        self._trouble = trouble
        self._breaker = breaker
        self._journal = journal
        self._used_journal = used_journal
        self._disk_dies = disk_dies
        self.behind = False
        """Whether records may wait that a call of ours should deliver."""

    def write(self, row: dict[str, Any], deadline: float) -> Outcome:
        """Store a numbered row before `deadline` (`time.monotonic`), or see to it that it isn't lost."""
        attempts = Attempts()
        started = time.perf_counter()
        down = self._breaker.error
        reserve_s = _reserve_s(deadline - time.monotonic(), made=self._used_journal() is not None)
        try:
            new = self._deliver(row, deadline - reserve_s, attempts, down)
        except Exception as raised:  # noqa: BLE001  nothing of ours may reach the host's AI call
            error = raised if isinstance(raised, DatabaseError) else connect.translate(raised)
            with call_limit.until(deadline + reserve_s):
                return self._not_stored(row, deadline, attempts, error, started)
        # The record is safe; what else there is to do isn't its caller's trouble.
        with suppress(Exception), call_limit.until(deadline):
            self._afterwards(row, deadline, was_down=down is not None, new=new)
        return _outcome("recorded" if new else "duplicate", row, attempts)

    def _afterwards(self, row: dict[str, Any], deadline: float, *, was_down: bool, new: bool) -> None:
        if was_down:
            self._breaker.closes()
            self._journal().wake()
        if not new:
            self._note_duplicate(row, deadline)
        if self.behind or ((journal := self._used_journal()) and not journal.threaded and journal.retry_is_due()):
            self._catch_up(deadline)

    def _deliver(self, row: dict[str, Any], deadline: float, attempts: Attempts, down: DatabaseError | None) -> bool:
        if self._delivery is None:
            raise self._trouble.copy() if self._trouble else AssertionError("without an address there is a reason")
        if down is not None and not self._breaker.lets_pass():
            sentence = f"Not tried, since the last try failed. {down.sentence}"
            raise SetupError(down.code, sentence, down.remedy, server_words=down.server_words)
        notices = journal.notices if (journal := self._used_journal()) is not None else None
        entries = notices.take_unreported(row) if notices else []
        try:
            # A probe tries once: the next one follows anyway.
            return self._delivery.deliver(row, deadline, attempts, once=down is not None, entries=entries)
        except BaseException:
            if notices:
                notices.put_back(entries)
            raise

    def _not_stored(
        self, row: dict[str, Any], deadline: float, attempts: Attempts, error: DatabaseError, started: float
    ) -> Outcome:
        journal = self._journal()
        details = {
            "record_id": str(row["id"]),
            "attempts": attempts.retry_count + (attempts.error is not None),
            "elapsed_ms": elapsed_ms(started),
        }
        error = self._of_table(error)
        if isinstance(error, RecordError) and not isinstance(error, TableError):
            journal.set_aside(row, error)
            self.behind = True
            record_log.whole_record("failed", row, str(error), attempts.retry_count)
            return _outcome("failed", row, attempts, str(error))
        left_s = deadline - time.monotonic()
        budget_s = time.perf_counter() - started + left_s
        hurried = budget_s < _TELLING_S and error.code in _TOO_LATE
        refused = isinstance(error, TableError)  # the database answers, and takes other records
        if attempts.error is not None and error.code not in _OUR_OWN and not hurried and not refused:
            self._breaker.opens(error)
        row = {**row, "connection_ms": attempts.connection_ms, "retry_count": attempts.retry_count}
        try:
            journal.keep(row, left_s + budget_s * _LATE_SHARE)
        except OutboxError as unkept:
            sentence = f"{error} {unkept}"
            record_log.whole_record("failed", row, sentence, attempts.retry_count)
            journal.notices.alert(unkept.code, f"{error.text_for_alerts} {unkept}", **details)
            return _outcome("failed", row, attempts, sentence)
        self.behind = True
        if self._disk_dies:
            record_log.whole_record("queued", row, str(error), attempts.retry_count)
        journal.notices.alert(error.code, error.text_for_alerts, **details)
        return _outcome("queued", row, attempts, str(error))

    def _of_table(self, error: DatabaseError) -> DatabaseError:
        """The refusal as the table's fault where it is: then the record waits."""
        if not isinstance(error, RecordError) or self._delivery is None:
            return error
        self._delivery.kinds.add(error)
        if not self._delivery.kinds.is_systematic(error):
            return error
        return explain_refused_kind(error)

    def _note_duplicate(self, row: dict[str, Any], deadline: float) -> None:
        """Tell the ledger at once or, if that fails, with the next delivery."""
        with fork_gate.importing:
            from tracker.recording.instance import document
            from tracker.recording.loss_ledger import entry, note_duplicates

        assert self._delivery is not None  # noqa: S101  for the type checker
        try:
            self._delivery.tell(
                lambda connection, target: note_duplicates(connection, target, [document(row)]), deadline
            )
        except DatabaseError:
            self._journal().notices.note(entry("duplicate", row, row["sequence"]))
            self._journal().wake()
            self.behind = True

    def _catch_up(self, deadline: float) -> None:
        journal = self._journal()
        if journal.threaded:
            self.behind = False  # its thread sees to it
        elif deadline - time.monotonic() >= _CATCH_UP_LEFT_S:
            self.behind = journal.catch_up(deadline, _CATCH_UP_ROWS)


def _reserve_s(left_s: float, *, made: bool) -> float:
    """How much of a record's time is kept back for queueing it; more where the outbox has yet to be opened."""
    reserve_s = min(_RESERVE_S, left_s * _LATE_SHARE)
    opening_s = 0.0 if made else min(_OPENING_S, left_s * _OPENING_SHARE)
    return max(0.0, reserve_s + opening_s)


def _outcome(status: Any, row: dict[str, Any], attempts: Attempts, error: str | None = None) -> Outcome:
    return Outcome(status, row["id"], attempts.retry_count, attempts.connection_ms, attempts.write_ms, error)
