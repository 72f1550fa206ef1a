"""Delays a fork of the process while another thread holds a lock that would stay locked in the child."""

from __future__ import annotations

import _thread
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING

from tracker.threads import CHECK_HOLDER_AFTER_S, FrameKey, is_running

if TYPE_CHECKING:
    from types import TracebackType

FORK_WAIT_S = 2.0
_FORK_POLL_S = 0.001
_MAX_FORK_DELAY_S = 0.25


class ForkSection:
    """A section of code during which the process is not forked: `with` waits while a fork is in progress."""

    def __init__(self, guard: ForkGuard) -> None:
        self._guard = guard
        self._frames: dict[int, FrameKey] = {}

    def __enter__(self) -> None:
        frame = sys._getframe(1)  # noqa: SLF001
        self._frames[id(frame)] = key = (_thread.get_ident(), id(frame), frame.f_code)
        if self._guard.forking and key[0] not in self._guard.forking:
            self._wait(id(frame), key)

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._frames.pop(id(sys._getframe(1)), None)  # noqa: SLF001

    def _wait(self, frame_id: int, key: FrameKey) -> None:
        end = time.monotonic() + 2 * FORK_WAIT_S
        self._guard.waiting[frame_id] = key
        while self._guard.forking and time.monotonic() < end:
            self._frames.pop(frame_id, None)
            time.sleep(_FORK_POLL_S)
            self._frames[frame_id] = key
        self._guard.waiting.pop(frame_id, None)

    def frames_of_other_threads(self) -> list[FrameKey]:
        """The frames of other threads that are in this section; in a forked child those at the time of the fork."""
        return [key for key in tuple(self._frames.values()) if key[0] != _thread.get_ident()]

    def is_used(self) -> bool:
        """Whether another thread is in this section, or was interrupted in it."""
        return any(self.frames_of_other_threads())

    def remove_interrupted(self) -> None:
        """Remove the frames of calls that were interrupted in this section."""
        for frame_id, key in tuple(self._frames.items()):
            if not is_running(key):
                self._frames.pop(frame_id, None)


class ForkGuard:
    """Delays a fork until other threads have left the sections whose locks would stay locked in the child.

    `handshake` is a TLS handshake (OpenSSL's locks), `importing` an import (Python's module locks), `file` an open
    statement of the outbox (SQLite's locks). A fork waits at most `FORK_WAIT_S` for them.
    """

    forked_during_handshake: bool
    handshake: ForkSection

    def __init__(self) -> None:
        self.is_handshake_running: Callable[[], bool] = lambda: False
        """Whether a new connection has reached its handshake; `tracker.database.connect` sets this function."""
        self.reset()

    def reset_in_child(self) -> None:
        """Reset in a forked child, and keep whether the fork interrupted a handshake of the parent."""
        interrupted = self.forked_during_handshake or self.handshake.is_used() or self.is_handshake_running()
        self.reset()
        self.forked_during_handshake = interrupted

    def reset(self) -> None:
        """Return to the initial state."""
        self.forked_during_handshake = False
        self.forking: list[int] = []
        self.waiting: dict[int, FrameKey] = {}
        self.handshake = ForkSection(self)
        self.importing = ForkSection(self)
        self.file = ForkSection(self)

    def begin_fork(self) -> None:
        """Block all sections until `end_fork`, and wait until other threads have left them."""
        end = time.monotonic() + FORK_WAIT_S
        latest_start = time.monotonic() + _MAX_FORK_DELAY_S
        # Threads that waited for the previous fork enter first, so that repeated forks don't block them forever.
        while self.waiting and not self.forking and time.monotonic() < latest_start:
            time.sleep(_FORK_POLL_S)
        self.forking.append(_thread.get_ident())
        check_at = time.monotonic() + CHECK_HOLDER_AFTER_S
        while self._is_used() and time.monotonic() < end:
            time.sleep(_FORK_POLL_S)
            if time.monotonic() >= check_at:
                check_at = end
                for section in (self.handshake, self.importing, self.file):
                    section.remove_interrupted()

    def _is_used(self) -> bool:
        sections = (self.handshake, self.importing, self.file)
        return self.is_handshake_running() or any(section.is_used() for section in sections)

    def end_fork(self) -> None:
        """Unblock the sections after the fork."""
        with suppress(ValueError):
            self.forking.remove(_thread.get_ident())


fork_guard = ForkGuard()
