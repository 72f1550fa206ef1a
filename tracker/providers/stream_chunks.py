"""Detects the chunks of a stream that need not be read: most of them state neither usage nor an error."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from tracker.providers.response_fields import LAST_EVENTS
from tracker.providers.schemas.schema_table import CONTAINERS, RARE_FIELDS, USAGE_PATHS

_STATE_FIELDS = (
    "error",
    *dict.fromkeys(path[0] for path in (*CONTAINERS, *(path for path, _ in USAGE_PATHS)) if path),
)
_RARE_IN_OBJECTS = RARE_FIELDS - {"delta", "metadata"}  # Cohere's and Bedrock's events are no pydantic objects


def states_nothing_new(chunk: Any) -> bool:
    """Whether a chunk of a stream states neither usage nor an error nor the end."""
    names = _names_to_read(chunk.__class__)
    if names is None or getattr(chunk, "__pydantic_extra__", None):
        return False
    fields = chunk.__dict__
    for name in names:
        if fields.get(name):
            return False
    return fields.get("type") not in LAST_EVENTS


@lru_cache(256)
def _names_to_read(kind: type) -> tuple[str, ...] | None:
    """The fields of a pydantic class that may state something; None for a class that is always read."""
    declared = getattr(kind, "model_fields", None)
    if not isinstance(declared, dict) or not _RARE_IN_OBJECTS.isdisjoint(declared):
        return None
    return tuple(name for name in _STATE_FIELDS if name in declared)
