"""Locks between processes: the kernel drops those of a dead one."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_PAUSE_S = 0.01


class FileLocks:
    """The lock files beside one file."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._open: set[int] = set()

    @contextmanager
    def hold(self, name: str, lock_timeout_s: float = 0.0) -> Iterator[bool]:
        """Hold a lock for the block; whether that worked in time.

        Where there are no such locks it always does: those who would be kept out then only do the work twice.
        """
        try:
            import fcntl

            file = os.open(f"{self._path}.{name}", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except (ImportError, OSError):
            yield True
            return
        self._open.add(file)
        end = time.monotonic() + lock_timeout_s
        held = False
        try:
            while not held:
                try:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    held = True
                except OSError:
                    if time.monotonic() >= end:
                        break
                    time.sleep(_PAUSE_S)
            yield held
        finally:
            if file in self._open:  # not so in a child that was forked meanwhile
                self._open.remove(file)
                os.close(file)

    def forget(self) -> None:
        """In a forked child: leave the parent's locks to the parent."""
        for file in self._open:
            os.close(file)
        self._open = set()
