"""The outboxes of this process: Trackers with the same path share one open file and one worker thread."""

from __future__ import annotations

import time
import weakref
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tracker.errors import OutboxError
from tracker.recording.outbox.paths import exists, fallback_file
from tracker.recording.outbox.store import Outbox, QueuedRecord
from tracker.recording.outbox.worker import DeliveryWorker
from tracker.recording.record_log import warn_once

if TYPE_CHECKING:
    from tracker.recording.outbox.queue import OutboxQueue

# Errors of a file that another process or thread uses.
_BUSY_CODES = {"outbox_busy", "outbox_inherited"}
_FALLBACK_PERIOD_S = 1.0
_FALLBACK_LOCK_TIMEOUT_S = 0.2
_BUSY_LOCK_TIMEOUT_S = 0.05
# A record's delivery is "background" if one of these instances recorded it; more instances hardly exist at once.
_MAX_INSTANCES = 200


class SharedOutbox:
    """The outbox of a path, its fallback file, and the worker thread that delivers both.

    The fallback file receives records while the outbox is locked: by a process that was stopped during a statement, by
    an outer call of the same thread, or by the parent of a forked process.
    """

    def __init__(self, path: Path, max_mb: int) -> None:
        self.outbox = Outbox(path, max_mb, self._on_damage)
        self.fallback = Outbox(fallback_file(path), max_mb, self._on_damage)
        self.worker = DeliveryWorker()
        self.instances: deque[str] = deque(maxlen=_MAX_INSTANCES)
        self._users: weakref.WeakSet[OutboxQueue] = weakref.WeakSet()
        self._kept_alive: OutboxQueue | None = None
        self._fallback_until = float("-inf")

    def files(self) -> list[Outbox]:
        """The outbox and, if it exists, its fallback file."""
        return [self.outbox, self.fallback] if exists(self.fallback.path) else [self.outbox]

    def append_built(self, build: Callable[[], QueuedRecord], lock_timeout_s: float) -> None:
        """Append the record that `build` returns. Raises `OutboxError`."""
        if time.monotonic() < self._fallback_until:
            self.fallback.append_built(build, min(lock_timeout_s, _FALLBACK_LOCK_TIMEOUT_S))
            return
        was_busy = self._fallback_until > float("-inf")
        try:
            self.outbox.append_built(build, min(lock_timeout_s, _BUSY_LOCK_TIMEOUT_S) if was_busy else lock_timeout_s)
            self._fallback_until = float("-inf")
        except OutboxError as error:
            if error.code not in _BUSY_CODES:
                raise
            self._fallback_until = time.monotonic() + _FALLBACK_PERIOD_S
            self.fallback.append_built(build, min(lock_timeout_s, _FALLBACK_LOCK_TIMEOUT_S))
            warn_once(f"{error} Records are written to {self.fallback.path} until then and are delivered from there.")

    def register(self, queue: OutboxQueue) -> None:
        """Register a queue as a user of the outbox until it is unregistered or garbage-collected."""
        self._users.add(queue)
        _outboxes.setdefault(self.outbox.path, self)

    def keep_alive(self, queue: OutboxQueue) -> None:
        """Keep a queue without a worker thread alive while it contains records, to deliver them at the end."""
        self._kept_alive = queue

    def on_empty(self) -> None:
        """Stop keeping a queue alive, because the outbox is empty."""
        self._kept_alive = None

    def unregister(self, queue: OutboxQueue) -> None:
        """Unregister a queue; with the last one the file is closed and the thread ends."""
        self.worker.remove(queue)
        self._users.discard(queue)
        if self._kept_alive is queue:
            self._kept_alive = None
        others = list(self._users)
        if not others:
            self.worker.stop()
            for outbox in self.files():
                outbox.close()
            if _outboxes.get(self.outbox.path) is self:
                _outboxes.pop(self.outbox.path, None)
            return
        for other in others:  # another queue of the same database delivers the remaining records
            if other.key == queue.key and other.uses_worker:
                self.worker.wake(other)
                return

    def _on_damage(self, damaged_path: Any) -> None:
        for user in list(self._users):
            user.notices.on_damage(damaged_path)
            return
        warn_once(
            f"An outbox was damaged and moved to {damaged_path}: token-tracker outbox drain --from {damaged_path}"
        )


_outboxes: dict[Path, SharedOutbox] = {}


def shared_outbox(path: Path, max_mb: int) -> SharedOutbox:
    """The outbox of a path, shared by this process."""
    return _outboxes.get(path) or _outboxes.setdefault(path, SharedOutbox(path, max_mb))


def _all_files() -> Iterator[Outbox]:
    for shared in tuple(_outboxes.values()):
        yield shared.outbox
        yield shared.fallback


def before_fork() -> None:
    """Close all files, so that a child inherits no open file."""
    for outbox in _all_files():
        outbox.before_fork()


def after_fork() -> None:
    """Reset all outboxes in a forked child."""
    for outbox in _all_files():
        outbox.after_fork()
    for shared in tuple(_outboxes.values()):
        shared.worker.reset()
        shared.instances.clear()
        shared._kept_alive = None  # noqa: SLF001  a class of this module
