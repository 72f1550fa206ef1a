"""`recorder.bind(iterator, team="growth")`: an iterator whose steps run in a context, and its reader does not."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Generator, Iterator
from contextlib import contextmanager
from typing import Any

from tracker.errors import UsageTypeError
from tracker.recording.context import ContextBlock, Entry, enter_entries, leave_entries


class _Steps:
    """The context of the steps: the bound fields, and the blocks that the iterator itself entered in earlier steps."""

    def __init__(self, block: ContextBlock) -> None:
        self._first = Entry(block)
        self._entries: tuple[Entry, ...] = (self._first,)

    @contextmanager
    def step(self) -> Iterator[None]:
        token = enter_entries(self._entries)
        try:
            yield
        finally:
            self._entries = leave_entries(token, self._first)


class _Bound:
    """An iterator that delegates all its other attributes to the bound one."""

    def __init__(self, source: Any, block: ContextBlock) -> None:
        self._source = source
        self._steps = _Steps(block)
        self._inner: Any = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self.__dict__["_source"], name)


class BoundIterator(_Bound):
    """A bound iterator."""

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:
        with self._steps.step():
            if self._inner is None:
                self._inner = iter(self._source)
            return next(self._inner)

    def close(self) -> None:
        """Close the iterator, if it can be closed, in its context."""
        with self._steps.step():
            if (close := _method(self._inner, self._source, "close")) is not None:
                close()


class BoundGenerator(BoundIterator):
    """A bound generator."""

    def send(self, value: Any) -> Any:
        with self._steps.step():
            return self._source.send(value)

    def throw(self, *error: Any) -> Any:
        with self._steps.step():
            return self._source.throw(*error)


class BoundAsyncIterator(_Bound):
    """A bound asynchronous iterator."""

    def __aiter__(self) -> AsyncIterator[Any]:
        return self

    async def __anext__(self) -> Any:
        with self._steps.step():
            if self._inner is None:
                self._inner = aiter(self._source)
            return await anext(self._inner)

    async def aclose(self) -> None:
        """Close the iterator, if it can be closed, in its context."""
        with self._steps.step():
            if (close := _method(self._inner, self._source, "aclose")) is not None:
                await close()


class BoundAsyncGenerator(BoundAsyncIterator):
    """A bound asynchronous generator."""

    async def asend(self, value: Any) -> Any:
        with self._steps.step():
            return await self._source.asend(value)

    async def athrow(self, *error: Any) -> Any:
        with self._steps.step():
            return await self._source.athrow(*error)


class _BoundSyncOrAsyncIterator(BoundIterator, BoundAsyncIterator):
    """A bound stream that supports sync and async reading, such as LiteLLM's."""


Generator.register(BoundGenerator)
AsyncGenerator.register(BoundAsyncGenerator)


def bind(iterator: Any, block: ContextBlock) -> Any:
    """The iterator whose steps run in the block's context. Raises `UsageTypeError` for anything else."""
    kind = type(iterator)
    is_async = hasattr(kind, "__aiter__")
    is_sync = hasattr(kind, "__iter__")
    if is_async and is_sync:
        return _BoundSyncOrAsyncIterator(iterator, block)
    if is_async:
        return (BoundAsyncGenerator if isinstance(iterator, AsyncGenerator) else BoundAsyncIterator)(iterator, block)
    if is_sync:
        return (BoundGenerator if isinstance(iterator, Generator) else BoundIterator)(iterator, block)
    raise UsageTypeError(f"bind takes an iterator or an asynchronous iterator, not {kind.__name__}.")


def _method(inner: Any, source: Any, name: str) -> Callable[[], Awaitable[None] | Any] | None:
    """The method of the iterator or, as with a WSGI body, of the object that made it."""
    return next((method for owner in (source, inner) if (method := getattr(owner, name, None)) is not None), None)
