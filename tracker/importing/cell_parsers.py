"""A cell's text → the value that is stored, read and checked once for each text that a column holds."""

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
# What is remembered of a column may take about ten megabytes, whatever it holds.
_MOST_CHARACTERS = 1_000_000
_EACH = 50  # an entry takes memory beside its text
NULL = "\\N"


class Cells:
    """A column's texts, and what each is: its value, how COPY writes it, how it stands in its row's content."""

    def __init__(
        self,
        column: str,
        zone: str,
        *,
        required: bool = False,
        constant: str | None = None,
        mark: DecimalMark | None = None,
    ) -> None:
        """`constant` stands in for a cell that holds nothing, unless the cell is required. `mark` is the decimal mark
        of numbers; without one they have a point.

        Raises `UsageError` for a constant that can't be read.
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
        """What is stored for a cell that holds this text. Raises `UsageError`."""
        text = text.strip()
        return self._read(text) if text or self._required else self.absent

    def learn(self, texts: set[str]) -> set[str]:
        """Read the texts that are new: each is then known, but for those that can't be read, which come back."""
        if self._characters > _MOST_CHARACTERS:
            self._forget()
        unreadable = set()
        new = texts.difference(self.contents)
        if self._mark:
            self._mark.learn(new)
        for text in new:
            try:
                value = self.value(text)
            except ValueError:
                unreadable.add(text)
                continue
            said = str(value)
            self.values[text] = value
            self.texts[text] = written(value, said)
            self.contents[text] = self._content(said) if text.strip() or self._required else self.absent_content
            self._characters += len(text) + _EACH
        return unreadable

    def _forget(self) -> None:
        for known in (self.values, self.texts, self.contents):
            known.clear()
        self._characters = 0

    def _read(self, text: str) -> Any:
        if self._mark:
            try:
                text = self._mark.normalize(text)
            except AmbiguousNumberError as error:
                raise UsageError(f"{self._column} {error}") from None
        return self._check(_convert(self._column, text, self._zone))

    def _content(self, said: str) -> str:
        return f'"{self._column}": {_encode(said)}, '


def written(value: Any, said: str) -> str:
    """A value, whose str is `said`, in COPY's text format (PostgreSQL, "COPY", File Formats)."""
    if value is None:
        return NULL
    if isinstance(value, dict):
        said = json.dumps(value, ensure_ascii=False)
    return said if said.isprintable() and "\\" not in said else said.translate(_ESCAPES)


_ESCAPES = str.maketrans({"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r"})


def _convert(column: str, text: str, zone: str) -> Any:
    """A cell's text as the column's type. Raises `UsageError` with the column and what it holds."""
    reader = _READERS.get(column)
    if reader is None and text.isprintable() and column != "created_at":
        return text
    try:
        if column == "created_at":
            return parse_time(text, zone)
        if not text.isprintable():
            text.encode("utf-8")  # what wasn't UTF-8 came in as lone surrogates
            text = text.replace("\0", "\ufffd")  # as TokenUsage does, for the columns it doesn't have
        return reader(text) if reader else text
    except (ValueError, ArithmeticError, RecursionError):
        shown = repr(text[:60]) if text else "nothing"
        raise UsageError(f"{column} holds {shown}, which is not {_EXPECTED.get(column, 'UTF-8 text')}") from None


def _whole(text: str) -> int:
    if text.isdecimal() and len(text) < 20:
        return int(text)
    number = Decimal(text)
    # int() of a large exponent would write out its digits for hours.
    if not number.is_finite() or number.adjusted() > 20 or number != number.to_integral_value():
        raise ValueError
    return int(number)


def _bool(text: str) -> bool:
    known = {
        "true": True,
        "t": True,
        "1": True,
        "yes": True,
        "false": False,
        "f": False,
        "0": False,
        "no": False,
    }
    if text.lower() not in known:
        raise ValueError
    return known[text.lower()]


def _object(text: str) -> dict[str, Any]:
    value = json.loads(text)
    if not isinstance(value, dict):
        raise ValueError  # noqa: TRY004  the caller makes one sentence of both
    return value


_COUNTS = (*(name for name in FIELDS if name.endswith("_tokens")), "processing_time")
NUMERIC = frozenset({*_COUNTS, "cost"})
"""The columns that hold numbers."""
_READERS: dict[str, Callable[[str], Any]] = {
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
