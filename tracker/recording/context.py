"""The fields that calls get from the code around them: `with recorder.context(team="growth"):`.

One ContextVar holds the entered blocks for all Trackers. Its value is immutable, so that tasks and threads can share a
copy of it. A call reads it when it starts.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from contextvars import ContextVar, Token
from types import MappingProxyType
from typing import Any, NamedTuple, Self

from tracker.errors import UsageTypeError
from tracker.providers.given_fields import with_context, without_context
from tracker.usage import CHECKS, CONTEXT_COLUMNS, FIELDS, TokenUsage

_ONE_CALLS_FIELDS = frozenset(FIELDS).difference(CONTEXT_COLUMNS)


class ContextBlock:
    """A context manager, which adds its fields to the calls that start inside; it can be entered again."""

    def __init__(self, fields: Mapping[str, Any]) -> None:
        """Raises `UsageTypeError` for another field of `TokenUsage`, and as `TokenUsage` does for an invalid value."""
        if refused := sorted(_ONE_CALLS_FIELDS.intersection(fields)):
            raise UsageTypeError(
                f"A context has no field {refused[0]!r}: give it to the call itself. A context sets"
                f" {', '.join(CONTEXT_COLUMNS)}; every other keyword is a key of metadata."
            )
        given = {name: value for name, value in fields.items() if value is not None}
        self.columns: Mapping[str, str] = MappingProxyType(
            {name: CHECKS[name](given.pop(name)) for name in CONTEXT_COLUMNS if name in given}
        )
        self.metadata: Mapping[str, Any] = MappingProxyType(CHECKS["metadata"](given))
        self._open: list[Entry] = []

    def __enter__(self) -> Self:
        entry = Entry(self)
        self._open.append(entry)
        entry.token = _active.set(_active.get().with_entries((entry,)))
        return self

    def __exit__(self, *_: object) -> None:
        """Never raises: a generator may be closed in another context, thread or task than it was started in."""
        active = _active.get()
        own = [entry for entry in active.entries if entry.block is self and entry in self._open] or self._open
        if not own:
            return
        entry = own[-1]
        with suppress(ValueError):  # another thread has left the same entry
            self._open.remove(entry)
        if entry.token is None or not _reset(entry.token):
            # The context where the block was entered can't be changed from here: there, the entry is ignored.
            entry.is_left = True
        if active.entries:
            # Not the value of the reset: a block that was entered later may still be open.
            _active.set(active.without(entry))

    async def __aenter__(self) -> Self:
        return self.__enter__()

    async def __aexit__(self, *_: object) -> None:
        self.__exit__()


class Entry:
    """One entered block; `token` is None for a step of a bound iterator."""

    __slots__ = ("block", "is_left", "token")

    def __init__(self, block: ContextBlock) -> None:
        self.block = block
        self.token: Token[ActiveContext] | None = None
        self.is_left = False


class ActiveContext(NamedTuple):
    """The entered blocks, the outermost first, and the fields that they add up to."""

    entries: tuple[Entry, ...] = ()
    columns: Mapping[str, str] = MappingProxyType({})
    metadata: Mapping[str, Any] = MappingProxyType({})

    def with_entries(self, entries: tuple[Entry, ...]) -> ActiveContext:
        """The context inside these entries too."""
        return _merged((*self.entries, *entries))

    def without(self, left: Entry) -> ActiveContext:
        """The context without this entry."""
        return _merged(tuple(entry for entry in self.entries if entry is not left))

    def fill(self, usage: TokenUsage, *, keep_provider: bool = False) -> TokenUsage:
        """A new record with this context's fields, where none were given; it takes nothing from another context."""
        columns = self.columns
        if keep_provider and usage.provider is not None:
            columns = {name: value for name, value in columns.items() if name != "provider"}
        if not columns and not self.metadata:
            return without_context(usage)
        return with_context(usage, columns, self.metadata)


def _merged(entries: tuple[Entry, ...]) -> ActiveContext:
    open_entries = tuple(entry for entry in entries if not entry.is_left)
    if not open_entries:
        return _NO_CONTEXT
    columns: dict[str, str] = {}
    metadata: dict[str, Any] = {}
    for entry in open_entries:
        columns |= entry.block.columns
        metadata |= entry.block.metadata
    return ActiveContext(open_entries, MappingProxyType(columns), MappingProxyType(metadata))


_NO_CONTEXT = ActiveContext()
_active: ContextVar[ActiveContext] = ContextVar("tracker_context", default=_NO_CONTEXT)


def current_context() -> ActiveContext:
    """The context of a call that starts now."""
    active = _active.get()
    return _merged(active.entries) if any(entry.is_left for entry in active.entries) else active


def in_current_context(usage: TokenUsage) -> TokenUsage:
    """The record with the fields of the current context, where none were given."""
    active = _active.get()
    if not active.entries:
        return usage
    active = current_context()
    return with_context(usage, active.columns, active.metadata)


def enter_entries(entries: tuple[Entry, ...]) -> Token[ActiveContext]:
    """Enter blocks, some of which may have been entered before in another step of a bound iterator."""
    return _active.set(_active.get().with_entries(entries))


def leave_entries(token: Token[ActiveContext], first: Entry) -> tuple[Entry, ...]:
    """Restore the context before `enter_entries`; return the entries since `first` that are still open."""
    entries = _active.get().entries
    _reset(token)
    return entries[entries.index(first) :] if first in entries else (first,)


def _reset(token: Token[ActiveContext]) -> bool:
    """Whether this is the token's context, which now has its value before the token."""
    try:
        _active.reset(token)
    except (ValueError, RuntimeError):  # the token is of another context, or was used
        return False
    return True
