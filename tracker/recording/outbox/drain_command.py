"""The command `outbox drain`: delivers outbox files until they are empty or the time is over."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

from tracker.database import connect as driver
from tracker.database.pool import ConnectionPool, PoolPolicy
from tracker.database.url import DatabaseUrl
from tracker.errors import OutboxError
from tracker.recording.outbox.drain import Drainer, dead_letter_entry
from tracker.recording.outbox.drain_lock import STALE_S
from tracker.recording.outbox.drain_rounds import RoundsResult, run_rounds
from tracker.recording.outbox.paths import DAMAGED, SALVAGED
from tracker.recording.outbox.salvage import salvage
from tracker.recording.outbox.store import Outbox, QueuedRecord
from tracker.recording.retry import Delivery
from tracker.settings import Settings

_BUSY_PAUSE_S = 0.2


class DrainResult(NamedTuple):
    """The delivered and the remaining records, and why records remain."""

    delivered: int
    waiting: int
    dead_letters: int
    error: str | None


def drain(
    paths: Sequence[Path], url: DatabaseUrl, settings: Settings, name: str, timeout_s: float, dead_letters: bool
) -> DrainResult:
    """Deliver the queued records of these files, with `dead_letters` also those. Never raises."""
    end = time.monotonic() + timeout_s
    policy = PoolPolicy(1, settings.connect_timeout_s, settings.idle_timeout_s, None)
    total = DrainResult(0, 0, 0, None)

    def connect(timeout_s: float) -> driver.Connection:
        return driver.connect(url, timeout_s=timeout_s, application_name=name, reset_session=True)

    with closing(ConnectionPool(connect, policy)) as pool:
        delivery = Delivery(pool, url.schema, settings.max_retries)
        for path in paths:
            with closing(Outbox(path, settings.outbox_max_mb)) as outbox:
                result = _drain_outbox(outbox, delivery, end, dead_letters)
            total = DrainResult(
                total.delivered + result.delivered,
                total.waiting + result.waiting,
                total.dead_letters + result.dead_letters,
                total.error or result.error,
            )
    return total


def _drain_outbox(outbox: Outbox, delivery: Delivery, end: float, dead_letters: bool) -> DrainResult:
    def note_dead_letter(record: QueuedRecord, _: Exception) -> None:
        outbox.note("ledger", json.dumps(dead_letter_entry(record)))

    drainer = Drainer(outbox, delivery, note_dead_letter)
    try:
        if dead_letters:
            outbox.requeue_dead_letters()
        rounds = run_rounds(lambda: drainer.run_round((), end), end, _BUSY_PAUSE_S)
        if isinstance(rounds.error, OutboxError):
            return DrainResult(drainer.delivered, 0, 0, str(rounds.error))
        depth = outbox.depth()
        if not depth.waiting:
            outbox.convert()
        return DrainResult(
            drainer.delivered, depth.waiting, depth.dead_letters, _reason(drainer, rounds) if depth.waiting else None
        )
    except OutboxError as error:
        return DrainResult(drainer.delivered, 0, 0, str(error))


def _reason(drainer: Drainer, rounds: RoundsResult) -> str | None:
    """Why records remain."""
    if rounds.error or rounds.more is None:
        return str(rounds.error) if rounds.error else _locked_text(drainer)
    return str(drainer.held.error) if rounds.more is False and drainer.held.error else None


def _locked_text(drainer: Drainer) -> str:
    holder = drainer.outbox.drain_lock.holder() or "another process"
    return (
        f"The lock for delivering from {drainer.outbox.path} is held by {holder}. If that process is stopped, this"
        f" command continues {STALE_S:g} s after its last activity."
    )


def requeue_salvaged(damaged: Path, target: Path, max_mb: int) -> int:
    """Queue every readable record of a damaged file again; returns their number.

    The damaged file is renamed to show that its records were salvaged. Raises `OutboxError` and `OSError`.
    """
    salvaged = salvage(damaged)
    with closing(Outbox(target, max_mb)) as outbox:
        for record in salvaged.waiting:
            outbox.append(record)
        for record, reason in salvaged.dead_letters:
            outbox.add_dead_letter(record, reason)
    for suffix in ("-wal", "-shm", ""):
        file = Path(f"{damaged}{suffix}")
        if file.exists():
            file.rename(file.with_name(file.name.replace(DAMAGED, SALVAGED)))
    return len(salvaged.waiting) + len(salvaged.dead_letters)
