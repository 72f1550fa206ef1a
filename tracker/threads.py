"""Threads and locks that stay usable after an interruption and where no thread can be started."""

from __future__ import annotations

import _thread
import gc
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import BuiltinFunctionType
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from types import CodeType, FrameType, TracebackType

T = TypeVar("T")

_POLL_S = 0.05
# Most holders release the lock sooner; only after this time is it checked whether the holder was interrupted.
CHECK_HOLDER_AFTER_S = 0.25
_MAX_FRAME_READ_S = 1.0
_MAX_WAIT_S = 86_400.0
_MAX_CALL_S = 30.0


def start(target: Callable[[], None], name: str) -> bool:
    """Start a daemon thread; returns False when the host allows no more threads or the interpreter is shutting down.

    During interpreter shutdown a new thread never runs, and the call that starts it blocks forever.
    """
    if sys.is_finalizing():
        return False
    try:
        threading.Thread(target=target, name=name, daemon=True).start()
    except RuntimeError:
        return False
    return True


class OnDemandThread:
    """At most one daemon thread, started on demand and restarted after it ends."""

    def __init__(self, run: Callable[[], None], name: str) -> None:
        self._run = run
        self._name = name
        self._thread: threading.Thread | None = None

    def ensure_running(self) -> bool:
        """Start the thread unless it runs; returns False when no thread can be started."""
        if sys.is_finalizing():
            return False
        if not self.is_alive():
            # Assigned before the start: a thread that was started at the same time then ends by itself.
            self._thread = thread = threading.Thread(target=self._run, name=self._name, daemon=True)
            try:
                thread.start()
            except RuntimeError:
                self._thread = None
                return False
        return True

    def is_alive(self) -> bool:
        """Whether the thread runs."""
        return self._thread is not None and self._thread.is_alive()

    def mark_stopped(self) -> None:
        """Report that the calling thread ends; the next `ensure_running` starts another one."""
        if self.is_current():
            self._thread = None

    def is_current(self) -> bool:
        """Whether the calling thread is this one, not another one that was started at the same time."""
        return threading.current_thread() is self._thread


class BackgroundTask(Generic[T]):
    """A function that runs in its own thread or, if no thread can be started, in `result`."""

    def __init__(self, work: Callable[[], T]) -> None:
        self._work = work
        self._done = threading.Event()
        self._error: BaseException | None = None
        self._started = start(self._run, "tracker-task")

    def _run(self) -> None:
        try:
            self._result = self._work()
        except BaseException as error:  # noqa: BLE001  raised by `result`
            self._error = error
        self._done.set()

    def result(self) -> T:
        """Wait for the function; returns its result or raises its exception."""
        if not self._started:
            self._run()
        self._done.wait()
        if (error := self._error) is not None:
            self._error = None
            raise error
        return self._result


# Identifies a call: thread id, frame id, code. A reference to the frame would keep all of its objects alive.
FrameKey = tuple[int, int, "CodeType"]
_Holder = tuple[int, int, "CodeType", _thread.LockType]


def is_running(key: FrameKey | _Holder) -> bool:
    """Whether the thread's call stack contains the frame; a thread whose frames can't be read counts as running."""
    # No variable refers to all frames or to this one: a frame that refers to itself stays alive with its objects.
    is_own_thread = key[0] == _thread.get_ident()
    try:
        frame = sys._getframe(1) if is_own_thread else _frame_of_thread(key[0])  # noqa: SLF001
    except RuntimeError:
        return True
    if frame is None:  # the thread ended, unless gevent has replaced the threads by greenlets
        return not isinstance(_thread.get_ident, BuiltinFunctionType)
    while frame is not None:
        if id(frame) == key[1] and frame.f_code is key[2]:
            return True
        frame = frame.f_back
    return False


def _frame_of_thread(thread: int) -> FrameType | None:
    """The frame that another thread executes. Raises RuntimeError if it can't be read.

    In Python 3.11 `sys._current_frames()` never returns if the garbage collector runs inside it and deletes a
    `threading.local` (gh-106883). The collector is therefore paused, in a thread that no signal handler interrupts:
    otherwise an exception could leave it paused.
    """
    if sys.version_info >= (3, 12):
        return sys._current_frames().get(thread)  # noqa: SLF001
    frames: list[FrameType | None] = []
    done = threading.Event()

    def read() -> None:
        with _collector_pause:
            frames.append(sys._current_frames().get(thread))  # noqa: SLF001
        done.set()

    if not start(read, "tracker-frames") or not done.wait(_MAX_FRAME_READ_S):
        raise RuntimeError("The frames of another thread can't be read.")
    return frames[0]


class CollectorPause:
    """Disables the garbage collector for a block; one thread at a time. A child that is forked meanwhile enables it."""

    def __init__(self) -> None:
        self._lock = _thread.allocate_lock()
        self._is_active = False

    def __enter__(self) -> None:
        self._lock.acquire()
        self._is_active = gc.isenabled()
        gc.disable()

    def __exit__(self, *_: object) -> None:
        self._end()
        self._lock.release()

    def reset_in_child(self) -> None:
        self._end()
        self._lock = _thread.allocate_lock()

    def _end(self) -> None:
        if self._is_active:
            gc.enable()
        self._is_active = False


_collector_pause = CollectorPause()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_collector_pause.reset_in_child)


class CallLock:
    """A lock that a call owns: it becomes free when that call ends, even if the call didn't release it.

    A signal handler can raise between any two bytecodes, also between acquiring a lock and the `try` that releases
    it. The holder is therefore identified by its frame, and a waiting call replaces a lock whose holder's frame no
    longer runs. The lock is reentrant for one call stack, for example for a signal handler: `with` enters at once, and
    `acquire` returns None.
    """

    def __init__(self) -> None:
        self._lock = _thread.allocate_lock()
        self._holder: _Holder | None = None
        self._successors: dict[_thread.LockType, _thread.LockType] = {}

    def __enter__(self) -> None:
        lock = self._lock
        if lock.acquire(False):
            frame = sys._getframe(1)  # noqa: SLF001
            self._holder = (_thread.get_ident(), id(frame), frame.f_code, lock)
            if self._lock is lock:
                return
        self._acquire_slowly(_MAX_WAIT_S, sys._getframe(1))  # noqa: SLF001

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        holder = self._holder
        if holder is not None and holder[1] == id(sys._getframe(1)) and holder[0] == _thread.get_ident():  # noqa: SLF001
            self._holder = None
            if holder[3].locked():
                holder[3].release()

    def acquire(self, timeout_s: float) -> bool | None:
        """Whether the calling frame holds the lock now; None when an outer frame of the same stack holds it."""
        lock = self._lock
        if lock.acquire(False):
            frame = sys._getframe(1)  # noqa: SLF001
            self._holder = (_thread.get_ident(), id(frame), frame.f_code, lock)
            if self._lock is lock:
                return True
        return self._acquire_slowly(timeout_s, sys._getframe(1))  # noqa: SLF001

    def release(self) -> None:
        """Release the lock if the calling frame holds it."""
        holder = self._holder
        if holder is not None and holder[1] == id(sys._getframe(1)) and holder[0] == _thread.get_ident():  # noqa: SLF001
            self._holder = None
            if holder[3].locked():
                holder[3].release()

    def _acquire_slowly(self, timeout_s: float, frame: FrameType) -> bool | None:
        end = time.monotonic() + timeout_s
        last_holder: _Holder | None = None
        check_at = time.monotonic() + CHECK_HOLDER_AFTER_S
        while True:
            lock = self._lock
            holder = self._holder_of(lock)
            if holder is not None and holder[0] == _thread.get_ident():
                if holder[1] != id(frame) and is_running(holder):
                    return None
                lock = self._replace(lock)
            elif holder is not last_holder:
                last_holder, check_at = holder, time.monotonic() + CHECK_HOLDER_AFTER_S
            elif time.monotonic() >= check_at:
                if holder is None or not is_running(holder):
                    lock = self._replace(lock)
                check_at = time.monotonic() + CHECK_HOLDER_AFTER_S
            left_s = end - time.monotonic()
            if lock.acquire(True, max(0.0, min(left_s, _POLL_S))):
                if self._lock is lock:
                    self._holder = (_thread.get_ident(), id(frame), frame.f_code, lock)
                    return True
                lock.release()  # another call has replaced this lock
            elif left_s <= 0:
                return False

    def _holder_of(self, lock: _thread.LockType) -> _Holder | None:
        holder = self._holder
        return holder if holder is not None and holder[3] is lock else None

    def _replace(self, lock: _thread.LockType) -> _thread.LockType:
        """Replace this lock by a new one, which is the same for all waiting calls."""
        successor = self._successors.setdefault(lock, _thread.allocate_lock())
        if self._lock is lock:
            self._lock = successor
        return self._lock


class CallDeadline(threading.local):
    """The time (`time.monotonic`) until which a call of this thread may wait for the outbox."""

    end = float("inf")

    @contextmanager
    def limit(self, end: float) -> Iterator[None]:
        """Bound all waits in this block by `end`."""
        previous, self.end = self.end, end
        try:
            yield
        finally:
            self.end = previous

    def bounded_wait_s(self, wait_s: float, min_wait_s: float) -> float:
        """The wait, bounded by the deadline; a deadline that ended long ago is left from an interrupted call."""
        left_s = self.end - time.monotonic()
        return wait_s if left_s < -_MAX_CALL_S else min(wait_s, max(min_wait_s, left_s))


call_deadline = CallDeadline()


class AutoResetEvent:
    """An event that wakes one waiting thread; `set` is atomic, and setting it twice has the effect of once."""

    def __init__(self) -> None:
        self._unset = _thread.allocate_lock()
        self._unset.acquire()

    def set(self) -> None:
        """Wake the thread that waits, or the next one that waits."""
        if self._unset.locked():
            with suppress(RuntimeError):  # another thread has just set it
                self._unset.release()

    def wait(self, timeout_s: float) -> bool:
        """Wait until the event is set, then reset it; returns False after the timeout."""
        return self._unset.acquire(True, max(0.0, min(timeout_s, _MAX_WAIT_S)))
