"""The fields of an outer call, such as a `track` block, that its inner calls get."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

# The fields that an outer call doesn't pass to its inner calls. A framework has its own names of models and providers.
_BLOCK_ONLY_FIELDS = frozenset({"id", "created_at", "model"})
_CALLBACK_ONLY_FIELDS = _BLOCK_ONLY_FIELDS | {"provider", "processing_time", "time_to_first_token_ms"}


def inherit_fields(fields: Mapping[str, Any], outer_fields: Mapping[str, Any], *, from_block: bool) -> dict[str, Any]:
    """The fields, overridden by those of the outer call."""
    excluded = _BLOCK_ONLY_FIELDS if from_block else _CALLBACK_ONLY_FIELDS
    inherited = {name: value for name, value in outer_fields.items() if name not in excluded}
    metadata = {**fields.get("metadata", {}), **inherited.get("metadata", {})}
    return {**fields, **inherited, **({"metadata": metadata} if metadata else {})}
