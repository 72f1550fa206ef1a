"""The names of properties as dimensions (`metadata.KEY`), and their values as text."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping

PREFIX = "metadata."
NOT_SET = "(not set)"
_ESCAPE = "\\"


def dimension_of(key: str) -> str:
    """The dimension of a property, such as `metadata.team`."""
    return PREFIX + key


def key_of(dimension: str | None) -> str | None:
    """The key of the property that a dimension is; None for another dimension."""
    return dimension.removeprefix(PREFIX) if dimension and dimension.startswith(PREFIX) else None


def property_pairs(metadata: object) -> Iterator[tuple[str, str]]:
    """The keys and texts under which a call with this metadata counts; a list has a pair for each element.

    >>> list(property_pairs({"team": "growth", "tags": ["a", 1, "a"], "nested": {"a": 1}, "empty": None}))
    [('team', 'growth'), ('tags', 'a'), ('tags', '1')]
    """
    if isinstance(metadata, Mapping):
        for key, value in metadata.items():
            items = value if isinstance(value, list) else [value]
            if not any(isinstance(item, list | dict) for item in items):
                texts = dict.fromkeys(_text(item) for item in items if item is not None)
                yield from ((str(key), text) for text in texts)


def _text(scalar: object) -> str:
    """A scalar as PostgreSQL prints it."""
    return scalar if isinstance(scalar, str) else json.dumps(scalar)


def value_to_text(value: str | None, not_set: str = NOT_SET) -> str:
    r"""A value as text that differs for each value: `not_set` for None, other texts unchanged.

    A value that equals `not_set` starts with a backslash.

    >>> value_to_text(None), value_to_text("unknown"), value_to_text("(not set)")
    ('(not set)', 'unknown', '\\(not set)')
    """
    if value is None:
        return not_set
    return _ESCAPE + value if value.lstrip(_ESCAPE) == not_set else value


def value_from_text(text: str) -> str | None:
    """The value of the text from `value_to_text`."""
    if text == NOT_SET:
        return None
    return text[1:] if text.startswith(_ESCAPE) and text.lstrip(_ESCAPE) == NOT_SET else text
