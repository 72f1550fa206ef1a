"""The pairs of a property and its value that a budget applies to: as the stored subject, and as text."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable

from tracker.errors import SettingError
from tracker.messages import Message
from tracker.property_names import value_from_text, value_to_text
from tracker.usage import replace_unstorable

Pairs = tuple[tuple[str, str | None], ...]
"""Keys of `metadata` and their values as text; None: the property is not set."""
_MAX_SUBJECT_CHARS = 20_000
_SEPARATOR = re.compile(r"\s*(?<!\\)=\s*")


def to_subject(pairs: Iterable[tuple[str, str | None]]) -> str:
    """The pairs as the subject of a budget, a JSON list; the same pairs have the same text."""
    return json.dumps(sorted({tuple(pair) for pair in pairs}, key=repr), ensure_ascii=False)


def from_subject(subject: str) -> Pairs:
    """The pairs of a stored subject. Raises `SettingError` if it is not a list of pairs."""
    try:
        pairs = tuple((key, value) for key, value in json.loads(subject))
    except (ValueError, TypeError, RecursionError):
        pairs = ()
    is_valid = all(isinstance(key, str) and (value is None or isinstance(value, str)) for key, value in pairs)
    if not pairs or not is_valid or len(subject) > _MAX_SUBJECT_CHARS:
        raise SettingError(Message("budgets.properties_invalid", subject=repr(subject[:60])))
    return pairs


def parse_pair(text: str) -> tuple[str, str | None]:
    r"""The pair of a text such as `team = growth`; `(not set)` is the value of a missing property.

    In a key, `\=` is an equals sign. Raises `SettingError` if there is no separator.
    """
    separator = _SEPARATOR.search(text := replace_unstorable(text.strip()))
    if separator is None:
        raise SettingError(Message("budgets.property_invalid", text=repr(text[:60])))
    key = text[: separator.start()].replace("\\=", "=").removeprefix("metadata.")
    return key, value_from_text(text[separator.end() :])


def pair_text(key: str, value: str | None) -> str:
    """The text that `parse_pair` reads."""
    return f"{key.replace('=', chr(92) + '=')} = {value_to_text(value)}"


def describe_pairs(pairs: Pairs) -> str:
    """The pairs as text: team = growth, feature = search."""
    return ", ".join(pair_text(*pair) for pair in pairs)
