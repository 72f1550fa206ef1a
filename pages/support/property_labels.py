"""The labels of properties and of their values: keys and values from the database, as one line of plain text."""

from __future__ import annotations

import unicodedata
from collections.abc import Collection

from pages.support.i18n import _
from tracker.property_names import dimension_of, key_of, value_from_text, value_to_text

_MAX_KEY_CHARS, _MAX_VALUE_CHARS = 60, 100
_RIGHT_TO_LEFT = {"R", "AL", "RLE", "RLO", "RLI", "LRE", "LRO", "LRI", "FSI", "PDF", "PDI", "AN"}
_ISOLATE, _END = "\u2068", "\u2069"


def property_label(dimension: str, other_labels: Collection[str] = ()) -> str:
    """The key of a property; with `metadata.` if the key is empty or could be confused with one of `other_labels`."""
    key = key_of(dimension) or ""
    is_plain = key.strip() and key.strip().casefold() not in other_labels and not key.startswith(dimension_of(""))
    return one_line(key if is_plain else dimension, _MAX_KEY_CHARS)


def property_value_label(text: str) -> str:
    """The label of the text of a value in the address; calls without the property have a label of their own."""
    value = value_from_text(text)
    if value == "":
        return _("(empty text)")
    not_set = _("(not set)")
    visible = one_line(value, _MAX_VALUE_CHARS) if value is not None else None
    return f"\\{visible}" if visible == _("(empty text)") else value_to_text(visible, not_set)


def one_line(text: str, max_chars: int) -> str:
    """The text without line breaks and cut to a length. Right-to-left text does not reorder the text around it."""
    short = text if len(text) <= max_chars else f"{text[: max_chars - 1]}…"
    # Control characters have visible pictures, such as ␊.
    line = "".join(chr(0x2400 + ord(char)) if ord(char) < 0x20 else "␡" if char == "\x7f" else char for char in short)
    has_direction = any(unicodedata.bidirectional(char) in _RIGHT_TO_LEFT for char in line)
    return f"{_ISOLATE}{line}{_END}" if has_direction else line
