"""File locks between processes; the kernel releases those of a process that ends."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_PAUSE_S = 0.01


class FileLocks:
    """The lock files of one file."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._open: set[int] = set()

    @contextmanager
    def hold(self, name: str, lock_timeout_s: float = 0.0) -> Iterator[bool]:
        """Acquire a lock for the block; yields whether it was acquired in time.

        Without file locks on this platform it always is; two processes may then do the same work.
        """
        try:
            import fcntl

            file = os.open(f"{self._path}.{name}", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except (ImportError, OSError):
            yield True
            return
        self._open.add(file)
        end = time.monotonic() + lock_timeout_s
        is_locked = False
        try:
            while not is_locked:
                try:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    is_locked = True
                except OSError:
                    if time.monotonic() >= end:
                        break
                    time.sleep(_PAUSE_S)
            yield is_locked
        finally:
            if file in self._open:  # false in a child that was forked inside the block
                self._open.remove(file)
                os.close(file)

    def close_inherited(self) -> None:
        """Close the descriptors in a forked child; the parent keeps its locks."""
        for file in self._open:
            os.close(file)
        self._open = set()
