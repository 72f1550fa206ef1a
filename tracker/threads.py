"""Threads and locks that stay usable after an interruption, a fork, or where no thread can be started."""

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

_SLICE_S = 0.05
# Most holders release the lock sooner; only then is it worth asking whether the holder was interrupted.
_CHECK_HOLDER_AFTER_S = 0.25
_LONGEST_FRAME_READ_S = 1.0
_LONGEST_S = 86_400.0
FORK_WAIT_S = 2.0
_FORK_PAUSE_S = 0.001
_TURN_S = 0.25
_LONGEST_CALL_S = 30.0


def start(target: Callable[[], None], name: str) -> bool:
    """Start a daemon thread; False when the host has none left, or ends.

    While the interpreter is taken apart a new thread never runs, and the call that starts one waits for it for ever.
    """
    if sys.is_finalizing():
        return False
    try:
        threading.Thread(target=target, name=name, daemon=True).start()
    except RuntimeError:
        return False
    return True


class OneThread:
    """A daemon thread of which there is one; it is started when it is needed, also after it died."""

    def __init__(self, run: Callable[[], None], name: str) -> None:
        self._run = run
        self._name = name
        self._thread: threading.Thread | None = None

    def ensure(self) -> bool:
        """See to it that the thread is there; False when none can be had."""
        if sys.is_finalizing():
            return False
        if not self.is_alive():
            # Known before it starts: it ends by itself when another one was started at the same time.
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

    def resign(self) -> None:
        """The calling thread ends: from now on another one is started."""
        if self.is_current():
            self._thread = None

    def is_current(self) -> bool:
        """Whether the calling thread is this one, and not one that was started at the same time."""
        return threading.current_thread() is self._thread


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
        if (error := self._error) is not None:
            self._error = None
            raise error
        return self._result


# Where a call is: thread, frame's id, code. The frame isn't referred to, since that would keep all of its objects.
Place = tuple[int, int, "CodeType"]
_Holder = tuple[int, int, "CodeType", _thread.LockType]


def is_running(place: Place | _Holder) -> bool:
    """Whether the thread's call chain includes the frame; a thread whose frames can't be read counts as running."""
    # No name for all frames, nor for this one: they would refer to themselves and stay with all of their objects.
    own = place[0] == _thread.get_ident()
    try:
        top = sys._getframe(1) if own else _frame_of_thread(place[0])  # noqa: SLF001
    except RuntimeError:
        return True
    if top is None:  # the thread ended, unless gevent has replaced the threads by greenlets
        return not isinstance(_thread.get_ident, BuiltinFunctionType)
    while top is not None:
        if id(top) == place[1] and top.f_code is place[2]:
            return True
        top = top.f_back
    return False


def _frame_of_thread(thread: int) -> FrameType | None:
    """The frame that another thread executes; raises RuntimeError if it can't be read.

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
            was_enabled = gc.isenabled()
            gc.disable()
            try:
                frames.append(sys._current_frames().get(thread))  # noqa: SLF001
            finally:
                if was_enabled:
                    gc.enable()
        done.set()

    if not start(read, "tracker-frames") or not done.wait(_LONGEST_FRAME_READ_S):
        raise RuntimeError("The frames of another thread can't be read.")
    return frames[0]


_collector_pause = _thread.allocate_lock()


def _after_fork_in_child() -> None:
    global _collector_pause
    _collector_pause = _thread.allocate_lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)


class CallLock:
    """A lock whose holder is a call: it is free again when that call ended without releasing it.

    The exception of a signal handler can arise between any two bytecodes, also between taking a lock and the `try`
    that would release it. The holder is therefore known by its frame, and a waiting call replaces a lock whose
    holder's frame no longer runs. `with` enters at once where the same call chain, for example a signal handler, is
    inside already; `acquire` tells the caller so.
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
        self._acquire_slowly(_LONGEST_S, sys._getframe(1))  # noqa: SLF001

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        holder = self._holder
        if holder is not None and holder[1] == id(sys._getframe(1)) and holder[0] == _thread.get_ident():  # noqa: SLF001
            self._holder = None
            if holder[3].locked():
                holder[3].release()

    def acquire(self, timeout_s: float) -> bool | None:
        """Whether the calling frame has the lock now; None when a frame below it on the same stack has it."""
        lock = self._lock
        if lock.acquire(False):
            frame = sys._getframe(1)  # noqa: SLF001
            self._holder = (_thread.get_ident(), id(frame), frame.f_code, lock)
            if self._lock is lock:
                return True
        return self._acquire_slowly(timeout_s, sys._getframe(1))  # noqa: SLF001

    def release(self) -> None:
        """Release the lock if the calling frame has it."""
        holder = self._holder
        if holder is not None and holder[1] == id(sys._getframe(1)) and holder[0] == _thread.get_ident():  # noqa: SLF001
            self._holder = None
            if holder[3].locked():
                holder[3].release()

    def _acquire_slowly(self, timeout_s: float, frame: FrameType) -> bool | None:
        end = time.monotonic() + timeout_s
        waited_for: _Holder | None = None
        check_at = time.monotonic() + _CHECK_HOLDER_AFTER_S
        while True:
            lock = self._lock
            holder = self._holder_of(lock)
            if holder is not None and holder[0] == _thread.get_ident():
                if holder[1] != id(frame) and is_running(holder):
                    return None
                lock = self._replace(lock)
            elif holder is not waited_for:
                waited_for, check_at = holder, time.monotonic() + _CHECK_HOLDER_AFTER_S
            elif time.monotonic() >= check_at:
                if holder is None or not is_running(holder):
                    lock = self._replace(lock)
                check_at = time.monotonic() + _CHECK_HOLDER_AFTER_S
            left_s = end - time.monotonic()
            if lock.acquire(True, max(0.0, min(left_s, _SLICE_S))):
                if self._lock is lock:
                    self._holder = (_thread.get_ident(), id(frame), frame.f_code, lock)
                    return True
                lock.release()  # it was replaced meanwhile
            elif left_s <= 0:
                return False

    def _holder_of(self, lock: _thread.LockType) -> _Holder | None:
        holder = self._holder
        return holder if holder is not None and holder[3] is lock else None

    def _replace(self, lock: _thread.LockType) -> _thread.LockType:
        """Let a new lock take the place of this one; all waiting calls agree on the same one."""
        successor = self._successors.setdefault(lock, _thread.allocate_lock())
        if self._lock is lock:
            self._lock = successor
        return self._lock


class ForkSection:
    """A part of a call during which the process is not forked: `with` waits while it is being forked."""

    def __init__(self, gate: ForkGate) -> None:
        self._gate = gate
        self._inside: dict[int, Place] = {}

    def __enter__(self) -> None:
        frame = sys._getframe(1)  # noqa: SLF001
        self._inside[id(frame)] = place = (_thread.get_ident(), id(frame), frame.f_code)
        if self._gate.forking and place[0] not in self._gate.forking:
            self._wait(id(frame), place)

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._inside.pop(id(sys._getframe(1)), None)  # noqa: SLF001

    def _wait(self, key: int, place: Place) -> None:
        end = time.monotonic() + 2 * FORK_WAIT_S
        self._gate.waiting[key] = place
        while self._gate.forking and time.monotonic() < end:
            self._inside.pop(key, None)
            time.sleep(_FORK_PAUSE_S)
            self._inside[key] = place
        self._gate.waiting.pop(key, None)

    def places(self) -> list[Place]:
        """Where other threads are inside, as far as was known when the process was forked."""
        return [place for place in tuple(self._inside.values()) if place[0] != _thread.get_ident()]

    def is_used(self) -> bool:
        """Whether another thread is inside, or was interrupted inside."""
        return any(self.places())

    def forget_interrupted(self) -> None:
        """Forget the calls that were interrupted inside."""
        for key, place in tuple(self._inside.items()):
            if not is_running(place):
                self._inside.pop(key, None)


class ForkGate:
    """Keeps a fork away from what a child could not go on with, since the thread that does it is not forked.

    `handshake` is a TLS handshake (OpenSSL's locks), `importing` an import (Python's module locks), `file` an open
    statement of the outbox (SQLite's locks). A fork waits at most `FORK_WAIT_S` for them.
    """

    child_of_handshake: bool
    handshake: ForkSection

    def __init__(self) -> None:
        self.handshake_runs: Callable[[], bool] = lambda: False
        """Whether a connection that is being made has reached its handshake; the driver's module sets it."""
        self.reset()

    def begin_child(self) -> None:
        """Begin anew in a forked child, and remember whether a handshake of its parent was cut in two."""
        broken = self.child_of_handshake or any(self.handshake.places()) or self.handshake_runs()
        self.reset()
        self.child_of_handshake = broken

    def reset(self) -> None:
        """Begin anew."""
        self.child_of_handshake = False
        self.forking: list[int] = []
        self.waiting: dict[int, Place] = {}
        self.handshake = ForkSection(self)
        self.importing = ForkSection(self)
        self.file = ForkSection(self)

    def close(self) -> None:
        """Let no thread into a section until `open`, and wait until those inside have left."""
        end = time.monotonic() + FORK_WAIT_S
        first = time.monotonic() + _TURN_S
        while self.waiting and not self.forking and time.monotonic() < first:  # forks in a row keep nobody out
            time.sleep(_FORK_PAUSE_S)
        self.forking.append(_thread.get_ident())
        check_at = time.monotonic() + _CHECK_HOLDER_AFTER_S
        while self._is_used() and time.monotonic() < end:
            time.sleep(_FORK_PAUSE_S)
            if time.monotonic() >= check_at:
                check_at = end
                for section in (self.handshake, self.importing, self.file):
                    section.forget_interrupted()

    def _is_used(self) -> bool:
        return self.handshake_runs() or self.handshake.is_used() or self.importing.is_used() or self.file.is_used()

    def open(self) -> None:
        """The fork is over."""
        with suppress(ValueError):
            self.forking.remove(_thread.get_ident())


fork_gate = ForkGate()


class CallLimit(threading.local):
    """Until when (`time.monotonic`) a call of this thread waits for the outbox, whatever it does there."""

    end = float("inf")

    @contextmanager
    def until(self, end: float) -> Iterator[None]:
        """Let nothing in this block wait for longer than `end`."""
        before, self.end = self.end, end
        try:
            yield
        finally:
            self.end = before

    def left_s(self, wanted_s: float, shortest_s: float) -> float:
        """How long to wait at most; an end that is long past is one of a call that was interrupted."""
        left_s = self.end - time.monotonic()
        return wanted_s if left_s < -_LONGEST_CALL_S else min(wanted_s, max(shortest_s, left_s))


call_limit = CallLimit()


class Bell:
    """Wakes one waiting thread; ringing is one atomic step, and ringing twice is ringing once."""

    def __init__(self) -> None:
        self._silent = _thread.allocate_lock()
        self._silent.acquire()

    def ring(self) -> None:
        """Wake the thread that waits, or the next one that will."""
        if self._silent.locked():
            with suppress(RuntimeError):  # another thread has just rung
                self._silent.release()

    def wait(self, timeout_s: float) -> bool:
        """Whether the bell rang, at the latest after this time."""
        return self._silent.acquire(True, max(0.0, min(timeout_s, _LONGEST_S)))
