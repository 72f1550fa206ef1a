"""Queue of calls whose stream was abandoned: a finalizer appends, the next call or a worker thread records.

The garbage collector runs finalizers at any bytecode, also inside the library's database and SQLite calls. A finalizer
therefore only appends to a `deque`: it acquires no lock, does no I/O, and imports nothing.
"""

from __future__ import annotations

import atexit
import gc
import math
import os
import sys
import threading
import time
from collections import deque
from contextlib import suppress
from typing import Protocol

_POLL_S = 0.1
_IDLE_S = 5.0


class Unfinished(Protocol):
    """A call whose row is not written yet."""

    @property
    def done(self) -> bool: ...
    def finish_now(self, error: BaseException | None = None, *, broken_off: bool = False) -> None: ...
    def give_up(self) -> None: ...


queue: deque[tuple[Unfinished, BaseException | None]] = deque()
_open: dict[int, tuple[Unfinished, float]] = {}
_lock = threading.Lock()
_worker: threading.Thread | None = None


# The threads that run the garbage collector: it closes the host's generators, which close observed streams.
_collecting: set[int] = set()


def _note_collection(phase: str, _: object) -> None:
    if phase == "start":
        _collecting.add(threading.get_ident())
    else:
        _collecting.discard(threading.get_ident())


def in_finalizer(error: BaseException | None = None) -> bool:
    """Whether this thread runs a finalizer: in the garbage collector, or while it closes a generator."""
    if isinstance(error, GeneratorExit) or sys.exc_info()[0] is GeneratorExit:
        return True
    return bool(_collecting) and threading.get_ident() in _collecting


class Finalizer:
    """Enqueues the call when this object is collected before the call is finished."""

    __slots__ = ("_call", "_queue")

    def __init__(self, call: Unfinished) -> None:
        self._call = call
        # A bound reference: at interpreter shutdown the module's globals may be None already.
        self._queue = queue

    def __del__(self) -> None:
        if not self._call.done:
            self._queue.append((self._call, None))


def open_call(call: Unfinished, give_up_after_s: float = math.inf) -> None:
    """Register a call that ends when its reader stops; starts the worker, which records abandoned calls."""
    _open[id(call)] = call, time.monotonic() + give_up_after_s
    wake()


def close_call(call: Unfinished) -> None:
    """Unregister a finished call."""
    _open.pop(id(call), None)


def enqueue(call: Unfinished, error: BaseException | None = None) -> None:
    """Record this call later, in another thread; safe in a finalizer."""
    queue.append((call, error))


def enqueue_and_wake(call: Unfinished, error: BaseException | None = None) -> None:
    """Record this call later, without blocking this thread; not for finalizers, since it may start a thread."""
    queue.append((call, error))
    wake()


def record_abandoned() -> None:
    """Write the rows of all abandoned calls; must not run in a finalizer."""
    while queue:
        try:
            call, error = queue.popleft()
        except IndexError:  # another thread has taken the last call
            return
        call.finish_now(error, broken_off=True)


def give_up_at_close(recorder: object) -> None:
    """Record the open calls of this Tracker whose end may never be reported."""
    for call, _ in tuple(_open.values()):
        if getattr(call, "give_up_at_close", False) and getattr(call, "recorder", None) is recorder:
            call.give_up()


def wake() -> None:
    """Start the worker unless it runs; not for finalizers."""
    global _worker
    if _worker is not None:
        return
    with _lock:
        if _worker is None:
            worker = threading.Thread(target=_run, name="tracker-abandoned", daemon=True)
            with suppress(RuntimeError):  # the interpreter shuts down; the exit hook records the remaining calls
                worker.start()
                _worker = worker


def _run() -> None:
    global _worker
    last_used_at = time.monotonic()
    while True:
        time.sleep(_POLL_S)
        if queue or _open:
            last_used_at = time.monotonic()
        record_abandoned()
        for call, give_up_at_s in tuple(_open.values()):
            if give_up_at_s < time.monotonic():
                call.give_up()
        if time.monotonic() - last_used_at > _IDLE_S:
            with _lock:
                if not queue and not _open:
                    _worker = None
                    return


def _at_exit() -> None:
    """Record the open calls before the Trackers are closed."""
    record_abandoned()
    for call, _ in tuple(_open.values()):
        call.give_up()


def _after_fork_in_child() -> None:
    """Discard the parent's calls, which the parent records; the worker thread doesn't exist in the child."""
    global _lock, _worker
    _lock = threading.Lock()
    _worker = None
    queue.clear()
    _open.clear()


gc.callbacks.append(_note_collection)
atexit.register(_at_exit)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
