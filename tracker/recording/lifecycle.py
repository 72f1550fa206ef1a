"""The end of a process, and its fork: what every Tracker does then."""

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
from tracker.threads import fork_guard

if TYPE_CHECKING:
    from types import ModuleType

    from tracker.recording.instance import Instance
    from tracker.recording.outbox.queue import OutboxQueue
    from tracker.recording.retry import Delivery
    from tracker.recording.tracker import Tracker

_trackers: weakref.WeakSet[Tracker] = weakref.WeakSet()


def watch(tracker: Tracker) -> None:
    """Close it when the process ends, and make it anew in a forked child."""
    _trackers.add(tracker)


def report_last_sequence(
    instance: Instance, delivery: Delivery | None, queue: Callable[[], OutboxQueue], timeout_s: float
) -> None:
    """Tell the ledger an instance's last number: without it nobody knows whether later records are missing.

    With no time, as when records still wait, it is told after them.
    """
    last = instance.last_sequence
    if delivery is None or instance.reported_sequence == last:
        return
    with fork_guard.importing:
        from tracker.recording.loss_ledger import entry, write_entries

    line = entry("closed", instance.place, 1, last)

    def write(connection: Any, target: Any) -> None:
        if target.can_write_ledger:
            write_entries(connection, target, [line])

    told = False
    if timeout_s:
        with suppress(DatabaseError):
            delivery.run_once(write, time.monotonic() + timeout_s)
            told = True
    if not told:
        queue().notices.note(line)
    instance.reported_sequence = last


def _at_exit() -> None:
    """Close all Trackers within the deadline of one record, however many there are: what remains is in the outbox."""
    trackers = tuple(_trackers)
    end = time.monotonic() + max((tracker.settings.deadline_s for tracker in trackers), default=0.0)
    for tracker in trackers:
        with suppress(Exception):  # one that can't be closed keeps no other from delivering
            tracker._close(max(0.0, end - time.monotonic()))  # noqa: SLF001  the module's own class


def _shared_outboxes() -> ModuleType | None:
    """The module of the open outboxes, if it was needed."""
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
        tracker._after_fork()  # noqa: SLF001  the module's own class


atexit.register(_at_exit)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before_fork, after_in_parent=_after_fork_in_parent, after_in_child=_after_fork_in_child)
