"""A blocking call for an event loop: begun at once, and finished whatever happens to the task that waits for it."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any, ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


def in_thread(call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> Coroutine[Any, Any, T]:
    """A coroutine that gives the result of a call in a thread of the event loop's pool.

    The call is in the pool's queue before the coroutine runs, and stays there when the waiting task is cancelled.
    Without a running event loop it begins when the coroutine does.
    """
    import asyncio

    try:
        loop = asyncio.get_running_loop()
    except RuntimeError:
        return _begin(call, *args, **kwargs)
    return _wait(_submit(loop, call, *args, **kwargs))


def _submit(loop: Any, call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> Any:
    from contextvars import copy_context
    from functools import partial

    work = partial(copy_context().run, call, *args, **kwargs)
    try:
        return loop.run_in_executor(None, work)
    except RuntimeError:  # the pool takes no more: the loop or the process ends
        done = loop.create_future()
        done.set_result(work())
        return done


async def _begin(call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    import asyncio

    result: T = await _wait(_submit(asyncio.get_running_loop(), call, *args, **kwargs))
    return result


async def _wait(future: Any) -> Any:
    import asyncio

    return await asyncio.shield(future)
