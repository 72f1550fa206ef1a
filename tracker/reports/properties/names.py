"""The names of properties as dimensions (`metadata.KEY`), and their values as text."""

from __future__ import annotations

PREFIX = "metadata."
NOT_SET = "(not set)"
_ESCAPE = "\\"


def dimension_of(key: str) -> str:
    """The dimension of a property, such as `metadata.team`."""
    return PREFIX + key


def key_of(dimension: str | None) -> str | None:
    """The key of the property that a dimension is; None for another dimension."""
    return dimension.removeprefix(PREFIX) if dimension and dimension.startswith(PREFIX) else None


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
