"""A value that one thread loads for all callers, and that is cached for some time."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from typing import Generic, TypeVar

T = TypeVar("T")
_POLL_S = 0.005


class SingleFlight(Generic[T]):
    """Loads a value in a daemon thread, one load at a time, and caches it for `ttl_s` of the value.

    No caller is blocked by a load that hangs: each one waits for the `Future` as long as it wants, in a thread or in
    any event loop. If a load raises, all of its callers get the exception, and the next request loads again.
    """

    def __init__(
        self,
        name: str,
        load: Callable[[], T],
        ttl_s: Callable[[T], float],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._name = name
        self._load = load
        self._ttl_s = ttl_s
        self._clock = clock
        self._lock = threading.Lock()
        self._future: Future[T] | None = None
        self._loaded_at_s = 0.0

    def request(self) -> Future[T]:
        """The cached value, or the value of the current load; starts a load if there is neither."""
        with self._lock:
            if self._future is None or (self._future.done() and self._is_expired(self._future)):
                future: Future[T] = Future()
                threading.Thread(target=self._run, args=(future,), name=self._name, daemon=True).start()
                self._future = future
            return self._future

    def _is_expired(self, future: Future[T]) -> bool:
        if future.exception() is not None:
            return True
        return self._clock() - self._loaded_at_s >= self._ttl_s(future.result())

    def _run(self, future: Future[T]) -> None:
        try:
            value = self._load()
        except BaseException as error:  # noqa: BLE001  raised by the future
            future.set_exception(error)
        else:
            self._loaded_at_s = self._clock()
            future.set_result(value)


async def wait_for(future: Future[T], timeout_s: float) -> T | None:
    """The value, or None after the timeout. Raises the exception of the load.

    It polls, because a callback would call an event loop that may be closed: a serverless function may start one for
    each call. The loop's thread pool is not used, because many waiting callers would exhaust it.
    """
    end = time.monotonic() + timeout_s
    while not future.done() and time.monotonic() < end:
        await asyncio.sleep(_POLL_S)
    return future.result() if future.done() else None
