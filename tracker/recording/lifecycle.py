"""Closes all Trackers when the process ends, and resets them in a forked child."""

from __future__ import annotations

import atexit
import os
import sys
import time
import weakref
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from tracker.errors import DatabaseError
from tracker.forks import fork_guard

if TYPE_CHECKING:
    from types import ModuleType

    from tracker.recording.instance import Instance
    from tracker.recording.outbox.queue import OutboxQueue
    from tracker.recording.retry import Delivery
    from tracker.recording.tracker import Tracker

_trackers: weakref.WeakSet[Tracker] = weakref.WeakSet()


def register(tracker: Tracker) -> None:
    """Close the Tracker when the process ends, and reset it in a forked child."""
    _trackers.add(tracker)


def report_last_sequence(
    instance: Instance, delivery: Delivery | None, get_queue: Callable[[], OutboxQueue], timeout_s: float
) -> None:
    """Write the last sequence number of an instance to the ledger, so that missing records at its end are detected.

    If `timeout_s` is 0, for example because records are still queued, the line is queued behind them.
    """
    last = instance.last_sequence
    if delivery is None or instance.reported_sequence == last:
        return
    with fork_guard.importing:
        from tracker.recording.loss_ledger import make_entry, write_entries

    line = make_entry("closed", instance.runtime_fields, 1, last)

    def write(connection: Any, target: Any) -> None:
        if target.can_write_ledger:
            write_entries(connection, target, [line])

    is_written = False
    if timeout_s:
        with suppress(DatabaseError):
            delivery.run_once(write, time.monotonic() + timeout_s)
            is_written = True
    if not is_written:
        get_queue().notices.note(line)
    instance.reported_sequence = last


def _at_exit() -> None:
    """Close all Trackers within the deadline of one record; records that aren't delivered stay in the outbox."""
    trackers = tuple(_trackers)
    end = time.monotonic() + max((tracker.settings.deadline_s for tracker in trackers), default=0.0)
    for tracker in trackers:
        with suppress(Exception):  # an error of one Tracker must not prevent the others from delivering
            tracker._close(max(0.0, end - time.monotonic()))  # noqa: SLF001  Tracker calls this module


def _shared_outboxes() -> ModuleType | None:
    """The module of the open outboxes, if it was imported."""
    return sys.modules.get("tracker.recording.outbox.shared")


def _before_fork() -> None:
    fork_guard.begin_fork()
    if outboxes := _shared_outboxes():
        outboxes.before_fork()


def _after_fork_in_parent() -> None:
    fork_guard.end_fork()


def _after_fork_in_child() -> None:
    fork_guard.reset_in_child()
    if outboxes := _shared_outboxes():
        outboxes.after_fork()
    for tracker in tuple(_trackers):
        tracker._after_fork()  # noqa: SLF001  Tracker calls this module


atexit.register(_at_exit)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before_fork, after_in_parent=_after_fork_in_parent, after_in_child=_after_fork_in_child)
