"""Observes a stream while it is read: the reader gets the same chunks, and the call gets a copy of each."""

from __future__ import annotations

import asyncio
import weakref
from collections.abc import AsyncGenerator, AsyncIterator, Coroutine, Generator, Iterator, Mapping
from contextlib import suppress
from contextvars import ContextVar, Token
from functools import lru_cache
from typing import Any, Protocol

from tracker.recording.capture import deferred_finish
from tracker.recording.capture.deferred_finish import Finalizer, Unfinished


class Observer(Unfinished, Protocol):
    """Receives the chunks and the end of a stream. It must not refer to the stream: that would form a cycle."""

    def add(self, chunk: Any) -> None: ...
    def finish(self, error: BaseException | None = None, *, broken_off: bool = False) -> None: ...
    async def afinish(self, error: BaseException | None = None, *, broken_off: bool = False) -> None: ...


current: ContextVar[Any] = ContextVar("tracker_call", default=None)
"""The call in progress in this context: a `track` block, a framework's callback, or a stream being read."""


def is_stream(response: Any) -> bool:
    """Whether the response is read chunk by chunk; decoded JSON, lists and pydantic objects are not."""
    return _streams(response.__class__)


@lru_cache(256)
def _streams(kind: type) -> bool:
    if issubclass(kind, Mapping | list | tuple | str | bytes) or hasattr(kind, "model_fields"):
        return False
    return hasattr(kind, "__next__") or hasattr(kind, "__anext__") or hasattr(kind, "__aiter__")


def observe(stream: Any, observer: Observer) -> Any:
    """The object to read instead of the stream: the same object where its iterator can be replaced.

    The clients of OpenAI and Anthropic keep the iterator of chunks in `_iterator`, google-genai's interactions in
    `generator`. Gemini's streams are plain generators, which are replaced by a generator-like object.
    """
    deferred_finish.open_call(observer)
    if hasattr(type(stream), "__next__") and hasattr(type(stream), "__anext__"):
        return _SyncOrAsyncStream(stream, observer)
    asynchronous = hasattr(type(stream), "__anext__") or hasattr(type(stream), "__aiter__")
    kind = ObservedAsyncIterator if asynchronous else ObservedIterator
    name = next((name for name in ("_iterator", "generator") if getattr(stream, name, None) is not None), None)
    if name is None:
        return kind(stream, observer)
    try:
        setattr(stream, name, kind(getattr(stream, name), observer))
    except AttributeError:
        return kind(stream, observer)
    observe_close(stream, "close", observer, asynchronous=asynchronous)
    return stream


class _SyncOrAsyncStream:
    """Replaces a stream that supports sync and async reading, such as LiteLLM's; delegates other attributes to it."""

    def __init__(self, stream: Any, observer: Observer) -> None:
        self._stream, self._observer = stream, observer
        self._chunks: Any = None
        self._finalizer = Finalizer(observer)

    def __iter__(self) -> Iterator[Any]:
        return self

    def __aiter__(self) -> AsyncIterator[Any]:
        return self

    def __next__(self) -> Any:
        self._chunks = self._chunks or ObservedIterator(self._stream, self._observer)
        return next(self._chunks)

    async def __anext__(self) -> Any:
        self._chunks = self._chunks or ObservedAsyncIterator(self._stream, self._observer)
        return await anext(self._chunks)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


class ObservedIterator:
    """Yields the chunks unchanged. If it is garbage-collected before its end, it enqueues the call as broken off."""

    def __init__(self, chunks: Any, observer: Observer) -> None:
        self._inner = iter(chunks)
        self._observer = observer
        self._finalizer = Finalizer(observer)

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:
        observer = self._observer
        # While a chunk is fetched, its call is the current one, to which a wrapped client inside it reports.
        token = current.set(observer)
        try:
            chunk = next(self._inner)
        except StopIteration:
            _reset(token)
            observer.finish()
            raise
        except BaseException as error:
            _reset(token)
            self._fail(error)
            raise
        try:  # noqa: SIM105  as `_reset`, without a call for each chunk
            current.reset(token)
        except ValueError:
            pass
        observer.add(chunk)
        return chunk

    def _fail(self, error: BaseException) -> None:
        self._close_inner()
        self._observer.finish(error, broken_off=True)

    def _close_inner(self) -> None:
        if hasattr(self._inner, "close"):
            with suppress(Exception):
                self._inner.close()

    def send(self, value: Any) -> Any:
        return next(self) if value is None else self._inner.send(value)

    def throw(self, *error: Any) -> Any:
        try:
            return self._inner.throw(*error)
        except BaseException as caught:
            self._fail(caught)
            raise

    def close(self) -> None:
        self._close_inner()
        self._observer.finish(broken_off=True)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.__dict__["_inner"], name)


class ObservedAsyncIterator:
    """`ObservedIterator` for an asynchronous stream."""

    def __init__(self, chunks: Any, observer: Observer) -> None:
        self._inner = aiter(chunks)
        self._observer = observer
        self._finalizer = Finalizer(observer)

    def __aiter__(self) -> AsyncIterator[Any]:
        return self

    async def __anext__(self) -> Any:
        observer = self._observer
        token = current.set(observer)
        try:
            chunk = await anext(self._inner)
        except StopAsyncIteration:
            _reset(token)
            await observer.afinish()
            raise
        except BaseException as error:
            _reset(token)
            await self._fail(error)
            raise
        try:  # noqa: SIM105  as `_reset`, without a call for each chunk
            current.reset(token)
        except ValueError:
            pass
        observer.add(chunk)
        return chunk

    async def _fail(self, error: BaseException) -> None:
        if isinstance(error, GeneratorExit):  # a coroutine that is closed must not await
            deferred_finish.enqueue(self._observer)
            return
        await self._close_inner()
        await self._observer.afinish(error, broken_off=True)

    async def _close_inner(self) -> None:
        if hasattr(self._inner, "aclose"):
            with suppress(Exception):
                await self._inner.aclose()

    async def asend(self, value: Any) -> Any:
        return await (anext(self) if value is None else self._inner.asend(value))

    async def athrow(self, *error: Any) -> Any:
        try:
            return await self._inner.athrow(*error)
        except BaseException as caught:
            await self._fail(caught)
            raise

    async def aclose(self) -> None:
        await self._close_inner()
        await self._observer.afinish(broken_off=True)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.__dict__["_inner"], name)


Generator.register(ObservedIterator)
AsyncGenerator.register(ObservedAsyncIterator)


def _reset(token: Token[Any]) -> None:
    try:
        current.reset(token)
    except ValueError:  # closed from another context
        return


def observe_close(owner: Any, name: str, observer: Observer, *, asynchronous: bool) -> None:
    """End the call when the stream is closed. The replaced method refers to its owner weakly, to avoid a cycle."""
    original = getattr(type(owner), name, None)
    if not callable(original):
        return
    reference = weakref.ref(owner)

    def close() -> None:
        if (stream := reference()) is not None:
            original(stream)
        if current.get() is not observer:  # an HTTP body closes itself while its last chunk is fetched
            observer.finish(broken_off=True)

    async def aclose() -> None:
        if (stream := reference()) is not None:
            await original(stream)
        if current.get() is not observer:
            await observer.afinish(broken_off=True)

    with suppress(AttributeError):
        setattr(owner, name, aclose if asynchronous else close)


_running: set[asyncio.Task[None]] = set()


async def shielded(work: Coroutine[Any, Any, None]) -> None:
    """Wait for the work; it continues when the waiting task is cancelled."""
    task = asyncio.ensure_future(work)
    _running.add(task)
    task.add_done_callback(_running.discard)
    await asyncio.shield(task)
