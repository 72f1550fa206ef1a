"""Parses the cells of a column to the values to store; each distinct text is parsed and validated once."""

from __future__ import annotations

import json
from collections.abc import Callable
from decimal import Decimal
from typing import Any
from uuid import UUID

from tracker.errors import UsageError
from tracker.importing.decimal_marks import AmbiguousNumberError, DecimalMark
from tracker.importing.time_parsers import parse_time
from tracker.usage import CHECKS, DEFAULTS, FIELDS

_encode = json.encoder.encode_basestring_ascii
# The cache of a column takes about ten megabytes at most.
_MAX_CACHED_CHARACTERS = 1_000_000
_ENTRY_OVERHEAD_CHARACTERS = 50
NULL = "\\N"


class ColumnParser:
    """Parses one column: each text's value, its text for COPY, and its part of the content for the row's id."""

    def __init__(
        self,
        column: str,
        zone: str,
        *,
        required: bool = False,
        constant: str | None = None,
        mark: DecimalMark | None = None,
    ) -> None:
        """`constant` replaces an empty cell, unless the cell is required. `mark` detects the decimal mark of numbers;
        without it they have a decimal point.

        Raises `UsageError` for an invalid constant.
        """
        self._column = column
        self._zone = zone
        self._required = required
        self._check: Callable[[Any], Any] = CHECKS.get(column, lambda value: value)
        self._characters = 0
        self._mark = mark if column in NUMERIC else None
        self.values: dict[str, Any] = {}
        self.texts: dict[str, str] = {}
        self.contents: dict[str, str] = {}
        self.absent: Any = DEFAULTS.get(column) if column != "id" else None
        self.absent_content = ""
        if constant is not None:
            self.absent = self._check(_convert(column, constant, zone))
            self.absent_content = self._content(str(self.absent))

    def value(self, text: str) -> Any:
        """The value to store for a cell with this text. Raises `UsageError`."""
        text = text.strip()
        return self._read(text) if text or self._required else self.absent

    def parse(self, texts: set[str]) -> set[str]:
        """Parse and cache the texts that are not cached yet; return those that can't be parsed."""
        if self._characters > _MAX_CACHED_CHARACTERS:
            self._clear()
        unreadable = set()
        new = texts.difference(self.contents)
        if self._mark:
            self._mark.detect(new)
        for text in new:
            try:
                value = self.value(text)
            except ValueError:
                unreadable.add(text)
                continue
            text_of_value = str(value)
            self.values[text] = value
            self.texts[text] = copy_text(value, text_of_value)
            self.contents[text] = (
                self._content(text_of_value) if text.strip() or self._required else self.absent_content
            )
            self._characters += len(text) + _ENTRY_OVERHEAD_CHARACTERS
        return unreadable

    def _clear(self) -> None:
        for cache in (self.values, self.texts, self.contents):
            cache.clear()
        self._characters = 0

    def _read(self, text: str) -> Any:
        if self._mark:
            try:
                text = self._mark.normalize(text)
            except AmbiguousNumberError as error:
                raise UsageError(f"{self._column} {error}") from None
        return self._check(_convert(self._column, text, self._zone))

    def _content(self, text: str) -> str:
        return f'"{self._column}": {_encode(text)}, '


def copy_text(value: Any, text: str) -> str:
    """A value, whose `str()` is `text`, in COPY's text format (PostgreSQL, "COPY", File Formats)."""
    if value is None:
        return NULL
    if isinstance(value, dict):
        text = json.dumps(value, ensure_ascii=False)
    return text if text.isprintable() and "\\" not in text else text.translate(_ESCAPES)


_ESCAPES = str.maketrans({"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r"})


def _convert(column: str, text: str, zone: str) -> Any:
    """A cell's text as the column's type. Raises `UsageError` with the column and the text."""
    convert = _CONVERTERS.get(column)
    if convert is None and text.isprintable() and column != "created_at":
        return text
    try:
        if column == "created_at":
            return parse_time(text, zone)
        if not text.isprintable():
            text.encode("utf-8")  # bytes that are not UTF-8 were read as lone surrogates
            text = text.replace("\0", "\ufffd")  # as TokenUsage does, for columns that it lacks
        return convert(text) if convert else text
    except (ValueError, ArithmeticError, RecursionError):
        value = repr(text[:60]) if text else "empty"
        raise UsageError(f"{column} is {value}, which is not {_EXPECTED.get(column, 'UTF-8 text')}") from None


def _whole(text: str) -> int:
    if text.isdecimal() and len(text) < 20:
        return int(text)
    number = Decimal(text)
    # int() of a number with a large exponent takes hours.
    if not number.is_finite() or number.adjusted() > 20 or number != number.to_integral_value():
        raise ValueError
    return int(number)


def _bool(text: str) -> bool:
    values = {
        "true": True,
        "t": True,
        "1": True,
        "yes": True,
        "false": False,
        "f": False,
        "0": False,
        "no": False,
    }
    if text.lower() not in values:
        raise ValueError
    return values[text.lower()]


def _object(text: str) -> dict[str, Any]:
    value = json.loads(text)
    if not isinstance(value, dict):
        raise ValueError  # noqa: TRY004  the caller reports both errors alike
    return value


_COUNTS = (*(name for name in FIELDS if name.endswith("_tokens")), "processing_time")
NUMERIC = frozenset({*_COUNTS, "cost"})
"""The columns with numbers."""
_CONVERTERS: dict[str, Callable[[str], Any]] = {
    **dict.fromkeys(_COUNTS, _whole),
    "cost": Decimal,
    "success": _bool,
    "is_test": _bool,
    "metadata": _object,
    "id": UUID,
}
_EXPECTED = {
    **dict.fromkeys(_COUNTS, "a whole number"),
    "created_at": "an ISO 8601 time, a compact date, an epoch time or an Excel serial of the years 2000 to 2100",
    "cost": "a number",
    "success": "true or false",
    "is_test": "true or false",
    "metadata": "a JSON object",
    "id": "a UUID",
}
