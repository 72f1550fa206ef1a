"""Threads of our own, where one can still be had."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")


def start(target: Callable[[], None], name: str) -> bool:
    """Start a daemon thread; False when the host has none left, or ends.

    While the interpreter is taken apart a new thread never runs, and whoever starts one waits for it for ever.
    """
    if sys.is_finalizing():
        return False
    try:
        threading.Thread(target=target, name=name, daemon=True).start()
    except RuntimeError:
        return False
    return True


class Aside(Generic[T]):
    """Work done beside the caller's: in a thread of its own or, where none can be had, when its result is asked for."""

    def __init__(self, work: Callable[[], T]) -> None:
        self._work = work
        self._done = threading.Event()
        self._error: BaseException | None = None
        self._started = start(self._run, "tracker-aside")

    def _run(self) -> None:
        try:
            self._result = self._work()
        except BaseException as error:  # noqa: BLE001  raised where the result is asked for
            self._error = error
        self._done.set()

    def result(self) -> T:
        """Wait for the work's result, or raise what it raised."""
        if not self._started:
            self._run()
        self._done.wait()
        if self._error is not None:
            raise self._error
        return self._result
