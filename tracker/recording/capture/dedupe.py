"""Deduplicates calls that several sources of one process observe: a client, a framework's callback, or a block.

Two observations are the same call only if they come from different sources, have the same model, overlap in time, and
have the same response id or equal counts. Matching is one to one: a row matches once for each source.
"""

from __future__ import annotations

import os
import sys
import threading
import time
import weakref
from collections import OrderedDict, deque
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any, NamedTuple
from uuid import UUID

from tracker.providers.model_names import plain_model_name, same_model_name
from tracker.providers.responses import ParsedResponse

MAX_ENTRIES = 4096
MAX_AGE_S = 300.0
# Many calls share a key only if a test server repeats its ids; only the latest ones are compared.
_MAX_PER_KEY = 32
_OPTIONAL_COUNTS = ("cache_read_input_tokens", "cache_write_input_tokens", "reasoning_output_tokens")

# Keyed by object identity: response ids are not unique (servers with OpenAI's format repeat theirs), and pydantic
# objects have no hash.
_recorded: dict[int, tuple[weakref.ref[Any], UUID]] = {}


def mark_recorded(response: object, record_id: UUID) -> None:
    """Register the row of this response object or stream."""
    key = id(response)
    try:
        _recorded[key] = (weakref.ref(response, lambda _: _recorded.pop(key, None)), record_id)
    except TypeError:  # an object that doesn't support weak references is not a provider's response
        return


def recorded_id(response: object) -> UUID | None:
    """The id of this response object's row, or None."""
    entry = _recorded.get(id(response))
    return entry[1] if entry is not None and entry[0]() is response else None


def is_framework_object(response: Any) -> bool:
    """Whether LiteLLM or LangChain created this object from a provider's response."""
    return _is_framework_class(response.__class__)


@lru_cache(256)
def _is_framework_class(kind: type) -> bool:
    return str(kind.__module__).partition(".")[0] in {"litellm", "langchain_core"}


def is_library_object(response: Any) -> bool:
    """Whether this is a response object of a provider's library or of a framework."""
    return hasattr(type(response), "model_fields") or is_framework_object(response)


class CallObservation(NamedTuple):
    """What one source observes of a call; times are seconds of `time.monotonic`."""

    source: str
    models: frozenset[str]
    response_id: str | None
    counts: Mapping[str, int]
    failed: bool
    started_s: float
    ended_s: float
    id_is_providers: bool = True  # LiteLLM generates its own ids


UNOBSERVED = CallObservation("", frozenset(), None, {}, failed=False, started_s=0.0, ended_s=0.0)
"""The observation of a call that is still in progress."""


def observation_of(
    source: str,
    parsed: ParsedResponse,
    requested: str | None,
    *,
    failed: bool,
    started_s: float,
    ended_s: float,
    id_is_providers: bool = True,
) -> CallObservation:
    """The observation of a call whose response was read."""
    names = (plain_model_name(name) for name in (requested, parsed.model) if name)
    counts = parsed.counts if any(parsed.counts.values()) else {}
    response_id = parsed.response_id
    return CallObservation(
        source, frozenset(names), response_id, counts, failed, started_s, ended_s, id_is_providers and bool(response_id)
    )


def same_model(first: frozenset[str], second: frozenset[str]) -> bool:
    """Whether the sets share a model name; versions are compared only if both names contain one."""
    return bool(first & second) or any(same_model_name(a, b) for a in first for b in second)


def equal_counts(first: Mapping[str, int], second: Mapping[str, int]) -> bool:
    """Whether both have the same input and output tokens; one side may lack cache and reasoning tokens."""
    if not first or not second:
        return not first and not second
    for name in ("input_tokens", "output_tokens"):
        if first.get(name, 0) != second.get(name, 0):
            return False
    return all(
        a == b or not a or not b for a, b in ((first.get(part, 0), second.get(part, 0)) for part in _OPTIONAL_COUNTS)
    )


def is_same_call(first: CallObservation, second: CallObservation, *, linked: bool = False) -> bool:
    """Whether two observations are the same call. `linked`: one started inside the other, and may lack counts."""
    if first.source == second.source or not same_model(first.models, second.models):
        return False
    if first.started_s > second.ended_s or second.started_s > first.ended_s:
        return False
    if first.response_id is not None and first.response_id == second.response_id:
        return True
    if first.id_is_providers and second.id_is_providers:  # two different responses
        return False
    if linked and _may_lack_parts(first.counts, second.counts):
        return True
    return first.failed == second.failed and equal_counts(first.counts, second.counts)


def _may_lack_parts(first: Mapping[str, int], second: Mapping[str, int]) -> bool:
    """Whether input and output tokens don't contradict each other; frameworks may lose one of them."""
    if not first or not second:
        return True
    pairs = [(first.get(name, 0), second.get(name, 0)) for name in ("input_tokens", "output_tokens")]
    return all(a == b or not a or not b for a, b in pairs) and any(a == b and a for a, b in pairs)


class _RegisteredCall:
    """A row of this process and the sources that observed it."""

    __slots__ = ("observation", "record_id", "recorder", "sources")

    def __init__(self, recorder: object, observation: CallObservation, record_id: UUID) -> None:
        self.recorder = weakref.ref(recorder)
        self.observation = observation
        self.record_id = record_id
        self.sources = {observation.source}


class RecentCalls:
    """The rows of the last minutes by response id and by counts; a lookup compares a bounded number of rows."""

    def __init__(self, max_entries: int = MAX_ENTRIES, max_age_s: float = MAX_AGE_S) -> None:
        self._max_entries, self._max_age_s = max_entries, max_age_s
        self._lock = threading.Lock()
        self._entries: OrderedDict[UUID, _RegisteredCall] = OrderedDict()
        self._by_key: dict[tuple[Any, ...], deque[_RegisteredCall]] = {}

    def __len__(self) -> int:
        return len(self._entries)

    def match_or_register(self, recorder: object, observation: CallObservation, record_id: UUID) -> UUID | None:
        """The id of the row that another source wrote for this call; otherwise None, and the row is registered."""
        keys = _keys(observation)
        with self._lock:
            self._expire()
            if (entry := self._best_match(recorder, observation, keys)) is not None:
                entry.sources.add(observation.source)
                return entry.record_id
            self._register(recorder, observation, record_id, keys)
            return None

    def register(
        self, recorder: object, observation: CallObservation, record_id: UUID, sources: Iterable[str] = ()
    ) -> None:
        """Register a row that is written; `sources` have observed the same call."""
        with self._lock:
            self._expire()
            self._register(recorder, observation, record_id, _keys(observation)).sources.update(sources)

    def add_source(self, record_id: UUID, source: str) -> None:
        """Add a source that observed the row, so that the row matches no other call of that source."""
        with self._lock:
            if (entry := self._entries.get(record_id)) is not None:
                entry.sources.add(source)

    def _best_match(
        self, recorder: object, observation: CallObservation, keys: list[tuple[Any, ...]]
    ) -> _RegisteredCall | None:
        """The best match: same id and equal counts before only the same id or only equal counts."""
        best, rank = None, 0
        for key in keys:
            for entry in self._by_key.get(key, ()):
                other = entry.observation
                if observation.source in entry.sources or entry.recorder() is not recorder:
                    continue
                if not is_same_call(observation, other):
                    continue
                same_id = observation.response_id is not None and observation.response_id == other.response_id
                score = 1 + same_id + equal_counts(observation.counts, other.counts)
                if score > rank:
                    best, rank = entry, score
        return best

    def _register(
        self, recorder: object, observation: CallObservation, record_id: UUID, keys: list[tuple[Any, ...]]
    ) -> _RegisteredCall:
        entry = self._entries[record_id] = _RegisteredCall(recorder, observation, record_id)
        for key in keys:
            if (entries := self._by_key.get(key)) is None:
                entries = self._by_key[key] = deque(maxlen=_MAX_PER_KEY)
            entries.append(entry)
        return entry

    def _expire(self) -> None:
        oldest_s = time.monotonic() - self._max_age_s
        while self._entries:
            record_id, entry = next(iter(self._entries.items()))
            if len(self._entries) < self._max_entries and entry.observation.ended_s >= oldest_s:
                return
            del self._entries[record_id]
            for key in _keys(entry.observation):
                if (entries := self._by_key.get(key)) is not None:
                    if entry in entries:
                        entries.remove(entry)
                    if not entries:
                        del self._by_key[key]


def _keys(observation: CallObservation) -> list[tuple[Any, ...]]:
    counts = observation.counts
    keys: list[tuple[Any, ...]] = []
    if observation.response_id is not None:
        keys.append(("id", observation.response_id))
    if counts:
        keys.append(("counts", counts.get("input_tokens", 0), counts.get("output_tokens", 0)))
    elif observation.failed:
        keys.append(("failed",))
    return keys


recent_calls = RecentCalls()
_has_other_sources = False


def enable_registration() -> None:
    """Register calls of wrapped clients from now on, because a block or a callback is in use."""
    global _has_other_sources
    _has_other_sources = True


def has_other_sources() -> bool:
    """Whether a source other than wrapped clients may observe calls of this process."""
    return _has_other_sources or "langchain_core" in sys.modules or "litellm" in sys.modules


def _after_fork_in_child() -> None:
    """Replace the lock, which another thread of the parent may have locked."""
    global recent_calls
    recent_calls = RecentCalls()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
