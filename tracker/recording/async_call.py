"""Runs a blocking call from an event loop: it starts at once and finishes even if the waiting task is cancelled."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any, ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


def in_thread(call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> Coroutine[Any, Any, T]:
    """A coroutine that returns the result of a call, which runs in a thread of the event loop's executor.

    The call is submitted before the coroutine runs, and it continues when the waiting task is cancelled. Without a
    running event loop it is submitted when the coroutine starts. It runs in a copy of the current context.
    """
    import asyncio
    from contextvars import copy_context
    from functools import partial

    work = partial(copy_context().run, call, *args, **kwargs)
    try:
        loop = asyncio.get_running_loop()
    except RuntimeError:
        return _submit_and_wait(work)
    return _wait(_submit(loop, work))


def _submit(loop: Any, work: Callable[[], Any]) -> Any:
    try:
        return loop.run_in_executor(None, work)
    except RuntimeError:  # the executor is shut down: the loop or the process ends
        future = loop.create_future()
        future.set_result(work())
        return future


async def _submit_and_wait(work: Callable[[], T]) -> T:
    import asyncio

    result: T = await _wait(_submit(asyncio.get_running_loop(), work))
    return result


async def _wait(future: Any) -> Any:
    import asyncio

    return await asyncio.shield(future)
