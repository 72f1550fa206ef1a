"""Empty outboxes by hand: until nothing waits, or time is up."""

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
from tracker.errors import DatabaseError, OutboxError, TransientError
from tracker.recording.outbox.drain import Drainer, dead_letter_entry
from tracker.recording.outbox.drain_lock import STALE_S
from tracker.recording.outbox.paths import DAMAGED, SALVAGED
from tracker.recording.outbox.salvage import salvage
from tracker.recording.outbox.store import Outbox, QueuedRecord
from tracker.recording.retry import Delivery
from tracker.settings import Settings

_PAUSE_S = 0.2


class DrainResult(NamedTuple):
    """What is left, and why."""

    delivered: int
    waiting: int
    dead_letters: int
    error: str | None


def drain(
    paths: Sequence[Path], url: DatabaseUrl, settings: Settings, name: str, timeout_s: float, again: bool
) -> DrainResult:
    """Deliver what waits in these files, and with `again` what was set aside; raises nothing."""
    end = time.monotonic() + timeout_s
    policy = PoolPolicy(1, settings.connect_timeout_s, settings.idle_timeout_s, None)
    total = DrainResult(0, 0, 0, None)

    def connect(timeout_s: float) -> driver.Connection:
        return driver.connect(url, timeout_s=timeout_s, application_name=name, reset_session=True)

    with closing(ConnectionPool(connect, policy)) as pool:
        delivery = Delivery(pool, url.schema, settings.max_retries)
        for path in paths:
            with closing(Outbox(path, settings.outbox_max_mb)) as outbox:
                found = _one(outbox, delivery, end, again)
            total = DrainResult(
                total.delivered + found.delivered,
                total.waiting + found.waiting,
                total.dead_letters + found.dead_letters,
                total.error or found.error,
            )
    return total


def _one(outbox: Outbox, delivery: Delivery, end: float, again: bool) -> DrainResult:
    def note(record: QueuedRecord, _: Exception) -> None:
        outbox.note("ledger", json.dumps(dead_letter_entry(record)))

    drainer = Drainer(outbox, delivery, note)
    try:
        if again:
            outbox.requeue_dead_letters()
        error = _until_empty(drainer, end)
        depth = outbox.depth()
        if not depth.waiting:
            outbox.convert()
        return DrainResult(drainer.delivered, depth.waiting, depth.dead_letters, error if depth.waiting else None)
    except OutboxError as trouble:
        return DrainResult(drainer.delivered, 0, 0, str(trouble))


def _until_empty(drainer: Drainer, end: float) -> str | None:
    """Round after round; what stood in the way of the last one."""
    while True:
        try:
            more = drainer.round((), end)
            if more is False:
                held = drainer.held.error
                return str(held) if held else None
            error, pause = (_locked(drainer), _PAUSE_S) if more is None else (None, 0.0)
        except TransientError as trouble:
            error, pause = str(trouble), _PAUSE_S
        except DatabaseError as trouble:
            return str(trouble)
        if time.monotonic() + pause >= end:
            return error
        time.sleep(pause)


def _locked(drainer: Drainer) -> str:
    holder = drainer.outbox.drain_lock.holder() or "another process"
    return (
        f"The lock for delivering from {drainer.outbox.path} is held by {holder}. If it was stopped, this command goes"
        f" on without it {STALE_S:g} s after its last activity."
    )


def requeue_salvaged(damaged: Path, target: Path, max_mb: int) -> int:
    """Queue every readable record of a damaged file again; how many those are. Raises `OutboxError` and `OSError`.

    The damaged file is kept under a name that says that its records were salvaged.
    """
    found = salvage(damaged)
    with closing(Outbox(target, max_mb)) as outbox:
        for record in found.waiting:
            outbox.append(record)
        for record, reason in found.dead_letters:
            outbox.add_dead_letter(record, reason)
    for suffix in ("-wal", "-shm", ""):
        part = Path(f"{damaged}{suffix}")
        if part.exists():
            part.rename(part.with_name(part.name.replace(DAMAGED, SALVAGED)))
    return len(found.waiting) + len(found.dead_letters)
