"""Which answers have their row already, so that nobody records them again."""

from __future__ import annotations

import threading
import time
import weakref
from collections import deque
from functools import lru_cache
from typing import Any, NamedTuple
from uuid import UUID

from tracker.usage import TokenUsage

# By identity: an answer's own id isn't unique (servers that speak OpenAI's format repeat theirs), and pydantic's
# objects have no hash.
_known: dict[int, tuple[weakref.ref[Any], UUID]] = {}


def remember(response: object, record_id: UUID) -> None:
    """Note that this answer, or this stream, has its row."""
    key = id(response)
    try:
        _known[key] = (weakref.ref(response, lambda _: _known.pop(key, None)), record_id)
    except TypeError:  # what can't be referred to weakly is no provider's answer
        return


def id_of(response: object) -> UUID | None:
    """The id of the row that a wrapped client has written for this answer, or None."""
    entry = _known.get(id(response))
    return entry[1] if entry is not None and entry[0]() is response else None


# LiteLLM and LangChain make objects of their own of an answer, so that what a wrapped client or a block beneath or
# around them records can't be known by identity: there an answer's id and counts are compared, each row met once.
class _Entry(NamedTuple):
    """A row that one source writes, until the other one comes for it."""

    recorder: weakref.ref[object]
    key: tuple[str, int, int]
    source: str
    record_id: UUID
    at: float


_WAIT_S = 60.0
_lock = threading.Lock()
_waiting: deque[_Entry] = deque(maxlen=1000)


def of_framework(response: Any) -> bool:
    """Whether LiteLLM or LangChain made this object of a provider's answer."""
    return _of_framework(response.__class__)


@lru_cache(256)
def _of_framework(kind: type) -> bool:
    return str(kind.__module__).partition(".")[0] in {"litellm", "langchain_core"}


def note(recorder: object, usage: TokenUsage, source: str) -> None:
    """Note that this source writes the row of an answer."""
    if (key := _key(usage)) is not None:
        with _lock:
            _waiting.append(_Entry(weakref.ref(recorder), key, source, usage.id, time.monotonic()))


def meet(recorder: object, usage: TokenUsage, source: str) -> UUID | None:
    """The id of the row that another source writes of the same answer; None, and noted, where none does by now.

    Of an answer that two sources see, the one that comes second, in whichever thread, is told the row of the first.
    """
    if (key := _key(usage)) is None:
        return None
    now = time.monotonic()
    with _lock:
        for entry in _waiting:
            fits = entry.key == key and entry.source != source and entry.recorder() is recorder
            if fits and now - entry.at < _WAIT_S:
                _waiting.remove(entry)
                return entry.record_id
        _waiting.append(_Entry(weakref.ref(recorder), key, source, usage.id, now))
    return None


def _key(usage: TokenUsage) -> tuple[str, int, int] | None:
    response_id = usage.metadata.get("response_id")
    return (response_id, usage.input_tokens, usage.output_tokens) if isinstance(response_id, str) else None
