"""A TTL cache that all browser sessions share, for report results that are slow to load and change slowly."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable, Hashable
from datetime import UTC, datetime
from typing import TypeVar
from weakref import WeakKeyDictionary

from tracker.reports import Reader

T = TypeVar("T")

_MAX_ENTRIES = 200
_lock = threading.Lock()
_values: dict[Hashable, tuple[float, object]] = {}
_load_locks: dict[Hashable, threading.Lock] = {}
_generations: WeakKeyDictionary[Reader, int] = WeakKeyDictionary()
_next_generation = itertools.count(1)


def cached(key: Hashable, ttl_s: float, load: Callable[[], T]) -> T:
    """The value of `key`, at most `ttl_s` seconds old. Of concurrent callers one loads it, and the others wait."""
    with _lock:
        load_lock = _load_locks.setdefault(key, threading.Lock())
    with load_lock:
        loaded_at, value = _values.get(key, (float("-inf"), None))
        if time.monotonic() - loaded_at > ttl_s:
            value = load()
            with _lock:
                if len(_values) > _MAX_ENTRIES:
                    _values.clear()
                    _load_locks.clear()
                _values[key] = time.monotonic(), value
    return value  # type: ignore[return-value]


def cached_as_of(key: Hashable, ttl_s: float, load: Callable[[], T]) -> tuple[T, datetime]:
    """As `cached`, with the UTC time of the value, which the page shows next to it."""

    def load_with_time() -> tuple[T, datetime]:
        as_of = datetime.now(UTC)
        return load(), as_of

    return cached(key, ttl_s, load_with_time)


def forget(key: Hashable) -> None:
    """Load the value of `key` again at its next use."""
    with _lock:
        _values.pop(key, None)


def clear() -> None:
    """Remove all values, after a change that all pages must show at once."""
    with _lock:
        _values.clear()


def generation(reader: Reader) -> int:
    """A number for cache keys that no other reader gets; an `id` would repeat after garbage collection."""
    with _lock:
        if reader not in _generations:
            _generations[reader] = next(_next_generation)
        return _generations[reader]
