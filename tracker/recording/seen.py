"""Which answers a wrapped client has recorded, by the object itself, so that nobody records them again."""

from __future__ import annotations

import weakref
from typing import Any
from uuid import UUID

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
