"""Watching a stream go by: its pieces reach their reader unchanged, and its end, however it comes, is told."""

from __future__ import annotations

import asyncio
import weakref
from collections.abc import AsyncIterator, Coroutine, Iterator, Mapping
from contextlib import suppress
from contextvars import ContextVar, Token
from functools import lru_cache
from typing import Any, Protocol


class Watcher(Protocol):
    """Who is told of a stream's pieces and of its end."""

    def add(self, piece: object) -> None: ...
    def finish(self, error: BaseException | None = None, *, broken_off: bool = False) -> None: ...
    async def afinish(self, error: BaseException | None = None, *, broken_off: bool = False) -> None: ...


current: ContextVar[Any] = ContextVar("tracker_call", default=None)
"""The call that is being made: a `track` block's, or the one whose stream is being read."""


def is_stream(response: Any) -> bool:
    """Whether this is read piece by piece; decoded JSON, lists and pydantic's objects are not."""
    return _streams(response.__class__)


@lru_cache(256)
def _streams(kind: type) -> bool:
    if issubclass(kind, Mapping | list | tuple | str | bytes) or hasattr(kind, "model_fields"):
        return False
    return hasattr(kind, "__next__") or hasattr(kind, "__anext__") or hasattr(kind, "__aiter__")


def observe(stream: Any, watcher: Watcher) -> Any:
    """What to read in the stream's place: the same object where its insides can be watched, else one like it.

    The official clients of OpenAI and Anthropic keep the pieces' iterator in `_iterator`; watched there, the stream
    stays what it was. Gemini's streams are plain generators, and so is what stands in for them.
    """
    if hasattr(type(stream), "__next__") and hasattr(type(stream), "__anext__"):
        return _Either(stream, watcher)
    asynchronous = hasattr(type(stream), "__anext__") or hasattr(type(stream), "__aiter__")
    watch = watch_async if asynchronous else watch_sync
    inner = getattr(stream, "_iterator", None)
    if inner is None:
        return watch(stream, watcher)
    try:
        stream._iterator = watch(inner, watcher)  # noqa: SLF001  the one place where its pieces pass
    except AttributeError:
        return watch(stream, watcher)
    _watch_close(stream, watcher, asynchronous)
    return stream


class _Either:
    """What to read in the place of a stream that can be read either way, as LiteLLM's can; the rest is the stream's."""

    def __init__(self, stream: Any, watcher: Watcher) -> None:
        self._stream, self._watcher = stream, watcher
        self._pieces: Any = None

    def __iter__(self) -> Iterator[Any]:
        return self

    def __aiter__(self) -> AsyncIterator[Any]:
        return self

    def __next__(self) -> Any:
        self._pieces = self._pieces or watch_sync(self._stream, self._watcher)
        return next(self._pieces)

    async def __anext__(self) -> Any:
        self._pieces = self._pieces or watch_async(self._stream, self._watcher)
        return await anext(self._pieces)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def watch_sync(pieces: Any, watcher: Watcher) -> Iterator[Any]:
    """The pieces, one by one."""
    inner = iter(pieces)
    error: BaseException | None = None
    complete = False
    try:
        while True:
            # While a piece is fetched, its call is the current one: a wrapped client beneath it reports to it.
            token = current.set(watcher)
            try:
                piece = next(inner)
            except StopIteration:
                complete = True
                return
            finally:
                _reset(token)
            watcher.add(piece)
            yield piece
    except GeneratorExit:
        raise
    except BaseException as caught:
        error = caught
        raise
    finally:
        if not complete and hasattr(inner, "close"):
            with suppress(Exception):
                inner.close()
        watcher.finish(error, broken_off=not complete)


async def watch_async(pieces: Any, watcher: Watcher) -> AsyncIterator[Any]:
    """The pieces, one by one, of an asynchronous stream."""
    inner = aiter(pieces)
    error: BaseException | None = None
    complete = False
    try:
        while True:
            token = current.set(watcher)
            try:
                piece = await anext(inner)
            except StopAsyncIteration:
                complete = True
                return
            finally:
                _reset(token)
            watcher.add(piece)
            yield piece
    except GeneratorExit:
        raise
    except BaseException as caught:
        error = caught
        raise
    finally:
        if not complete and hasattr(inner, "aclose"):
            with suppress(Exception):
                await inner.aclose()
        await watcher.afinish(error, broken_off=not complete)


def _reset(token: Token[Any]) -> None:
    try:
        current.reset(token)
    except ValueError:  # closed from another context
        return


def _watch_close(stream: Any, watcher: Watcher, asynchronous: bool) -> None:
    """Closing ends the call too. The stream is held weakly: it must go as soon as its reader lets it go."""
    if not callable(getattr(type(stream), "close", None)):
        return
    held = weakref.ref(stream)

    def close() -> None:
        if (open_stream := held()) is not None:
            type(open_stream).close(open_stream)
        watcher.finish(broken_off=True)

    async def aclose() -> None:
        if (open_stream := held()) is not None:
            await type(open_stream).close(open_stream)
        await watcher.afinish(broken_off=True)

    with suppress(AttributeError):
        stream.close = aclose if asynchronous else close


_running: set[asyncio.Task[None]] = set()


async def shielded(work: Coroutine[Any, Any, None]) -> None:
    """Wait for the work, but let it go on when the waiting is cancelled."""
    task = asyncio.ensure_future(work)
    _running.add(task)
    task.add_done_callback(_running.discard)
    await asyncio.shield(task)
