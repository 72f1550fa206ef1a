"""The outboxes of this process: Trackers with the same path share one open file and one thread."""

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

# What keeps a file from being written although the disk is fine.
_BUSY = {"outbox_busy", "outbox_inherited"}
_BUSY_AGAIN_S = 1.0
_FALLBACK_LOCK_TIMEOUT_S = 0.2
_BUSY_LOCK_TIMEOUT_S = 0.05
# A record's delivery is "background" if one of these processes' numbers recorded it; more are hardly alive at once.
_MAX_INSTANCES = 200


class SharedOutbox:
    """The outbox of a path, its second file, and the thread that delivers from both.

    The second file takes what is recorded while the first stays locked: by a process that was stopped in the middle
    of a statement, by an outer call of the same thread, or by the parent of a forked process.
    """

    def __init__(self, path: Path, max_mb: int) -> None:
        self.outbox = Outbox(path, max_mb, self._on_damage)
        self.second = Outbox(fallback_file(path), max_mb, self._on_damage)
        self.worker = DeliveryWorker()
        self.instances: deque[str] = deque(maxlen=_MAX_INSTANCES)
        self._users: weakref.WeakSet[OutboxQueue] = weakref.WeakSet()
        self._kept_alive: OutboxQueue | None = None
        self._busy_until = float("-inf")

    def files(self) -> list[Outbox]:
        """The outbox and, where there is one, its second file."""
        return [self.outbox, self.second] if exists(self.second.path) else [self.outbox]

    def append_next(self, make: Callable[[], QueuedRecord], lock_timeout_s: float) -> None:
        """Make the record durable that `make` gives. Raises `OutboxError`."""
        if time.monotonic() < self._busy_until:
            self.second.append_next(make, min(lock_timeout_s, _FALLBACK_LOCK_TIMEOUT_S))
            return
        was_busy = self._busy_until > float("-inf")
        try:
            self.outbox.append_next(make, min(lock_timeout_s, _BUSY_LOCK_TIMEOUT_S) if was_busy else lock_timeout_s)
            self._busy_until = float("-inf")
        except OutboxError as error:
            if error.code not in _BUSY:
                raise
            self._busy_until = time.monotonic() + _BUSY_AGAIN_S
            self.second.append_next(make, min(lock_timeout_s, _FALLBACK_LOCK_TIMEOUT_S))
            warn_once(f"{error} Records go into {self.second.path} meanwhile, and are delivered from there.")

    def register(self, queue: OutboxQueue) -> None:
        """Count a user, until it is released or gone."""
        self._users.add(queue)
        _outboxes.setdefault(self.outbox.path, self)

    def keep_alive(self, queue: OutboxQueue) -> None:
        """Refer to a user whose records wait and that has no thread: one of them delivers them all at the end."""
        self._kept_alive = queue

    def on_empty(self) -> None:
        """Nothing waits any more."""
        self._kept_alive = None

    def unregister(self, queue: OutboxQueue) -> None:
        """A user ends; the file is closed and the thread ended with the last one."""
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
        for other in others:  # what it left is theirs to deliver
            if other.key == queue.key and other.uses_worker:
                self.worker.wake(other)
                return

    def _on_damage(self, aside: Any) -> None:
        for user in list(self._users):
            user.notices.on_damage(aside)
            return
        warn_once(f"An outbox was damaged and moved to {aside}: token-tracker outbox drain --from {aside}")


_outboxes: dict[Path, SharedOutbox] = {}


def shared_outbox(path: Path, max_mb: int) -> SharedOutbox:
    """The process's outbox of a path."""
    return _outboxes.get(path) or _outboxes.setdefault(path, SharedOutbox(path, max_mb))


def _all_files() -> Iterator[Outbox]:
    for shared in tuple(_outboxes.values()):
        yield shared.outbox
        yield shared.second


def before_fork() -> None:
    """Leave no file open that a child would inherit."""
    for outbox in _all_files():
        outbox.before_fork()


def after_fork() -> None:
    """Begin anew in a forked child."""
    for outbox in _all_files():
        outbox.after_fork()
    for shared in tuple(_outboxes.values()):
        shared.worker.reset()
        shared.instances.clear()
        shared._kept_alive = None  # noqa: SLF001  the module's own class
