"""A CSV file of calls → rows, each with an id made of its content."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, TextIO
from uuid import UUID
from zoneinfo import ZoneInfo

from tracker.errors import SettingError, TrackerError, UsageError
from tracker.sources.csv_lines import CsvRecords
from tracker.sources.occurrences import Occurrences
from tracker.usage import CHECKS, DEFAULTS, FIELDS, completed

_PLACE = ("environment", "platform", "region", "deployment")
IMPORTABLE: tuple[str, ...] = (*FIELDS, *_PLACE)
_encode = json.encoder.encode_basestring_ascii
REQUIRED = ("created_at", "model", "input_tokens", "output_tokens")


@dataclass(frozen=True, slots=True)
class CsvPlan:
    """How a file's columns become ours: header by column, one value for all rows, zone of times without one."""

    mapping: Mapping[str, str] = field(default_factory=dict)
    constants: Mapping[str, str] = field(default_factory=dict)
    zone: str = "UTC"

    def places(self, header: list[str]) -> dict[str, int]:
        """The position of each column's header; headers of our own names need no mapping. Raises `SettingError`."""
        for column in (*self.mapping, *self.constants):
            if column not in IMPORTABLE:
                raise SettingError(f"There is no column {column!r}; there are: {', '.join(IMPORTABLE)}.")
        same = {name: name for name in IMPORTABLE if name in header and name not in self.constants}
        headers = {**same, **self.mapping}
        for column, name in headers.items():
            if header.count(name) != 1:
                how = "no header" if name not in header else "more than one header"
                raise SettingError(f"The file has {how} {name!r} (for {column}); it has: {', '.join(header)[:300]}.")
        for column in REQUIRED:
            if column not in headers and column not in self.constants:
                raise SettingError(
                    f"Nothing gives {column}: say --map {column}=HEADER or --set {column}=VALUE."
                    f" The file has: {', '.join(header)[:300]}."
                )
        return {column: header.index(name) for column, name in headers.items()}


@dataclass(frozen=True, slots=True)
class Call:
    """A good row: what is stored, and where it came from."""

    line: int
    row: dict[str, Any]
    cells: list[str]


@dataclass(frozen=True, slots=True)
class Reject:
    """A row that can't be stored, and why."""

    line: int
    reason: str
    cells: list[str]


def read_calls(file: TextIO, plan: CsvPlan) -> Iterator[Call | Reject | None]:
    """Yield None once the header is read and found right, then each row as a call or a reject.

    The file's text is UTF-8 read with `surrogateescape`. Raises `SettingError` for what is wrong with the header.
    """
    records = CsvRecords(file)
    first = next(iter(records), None)
    if first is not None and first.problem:
        reason = first.problem.removeprefix("not readable as CSV: ")
        raise SettingError(f"The file's first line can't be read as CSV: {reason}.")
    header = [name.strip() for name in first.cells] if first else []
    if not any(header):
        raise SettingError("The file is empty; its first line must name the columns.")
    records.width = len(header)
    reading = Reading(plan, header)
    yield None
    for line, cells, problem in records:
        yield Reject(line, problem, cells) if problem else reading.row(line, cells)


class Reading:
    """How a file's cells become rows, worked out once; every step here is done for each of millions of rows."""

    def __init__(self, plan: CsvPlan, header: list[str]) -> None:
        places = plan.places(header)
        self._width = len(header)
        constants = {name: _Cells(name, plan.zone).read(text) for name, text in plan.constants.items()}
        # In the order of their names, as a content is written; a constant has no place.
        self._columns = [
            (name, places.get(name), _Cells(name, plan.zone), constants.get(name))
            for name in sorted({*places, *constants})
        ]
        self._fresh = {**DEFAULTS, **dict.fromkeys(_PLACE), "id": None}
        self._has_id = "id" in places or "id" in constants
        self._occurrences = Occurrences()

    def row(self, line: int, cells: list[str], identity: str | None = None) -> Call | Reject:
        """`identity` makes the id instead of the content: what tells this call from others though figures change."""
        if len(cells) != self._width:
            return Reject(line, f"{len(cells)} cells where the header has {self._width}", cells)
        row = self._fresh.copy()
        content = []
        try:
            for name, place, known, constant in self._columns:
                if place is None:
                    found = constant
                else:
                    text = cells[place].strip()
                    found = known.read(text) if text or name in REQUIRED else constant
                if found:
                    row[name], written = found
                    content.append(written)
            completed(row)
        except (TrackerError, ValueError) as error:
            return Reject(line, str(error), cells)
        if not self._has_id or row["id"] is None:
            text = identity or f"{{{', '.join(content)}}}"
            row["id"] = _content_id(text, row["created_at"], self._occurrences)
        return Call(line, row, cells)


class _Cells:
    """A column's texts as values. What was read and checked once is remembered: most columns hold few texts."""

    _MOST = 20_000

    def __init__(self, column: str, zone: str) -> None:
        self._column = column
        self._zone = zone
        self._known: dict[str, tuple[Any, str]] = {}
        self._check: Callable[[Any], Any] = CHECKS.get(column, lambda value: value)

    def read(self, text: str) -> tuple[Any, str]:
        """The value, and how it stands in the row's content. Raises `UsageError`."""
        if (found := self._known.get(text)) is not None:
            return found
        value = self._check(_convert(self._column, text, self._zone))
        found = value, f"{_encode(self._column)}: {_encode(str(value))}"
        if len(self._known) < self._MOST and not isinstance(value, dict):
            self._known[text] = found
        return found


def _content_id(content: str, created_at: datetime, occurrences: Occurrences) -> UUID:
    """A UUIDv8 (RFC 9562, 5.8): the call's milliseconds, then a digest of its content and its occurrence number.

    `content` is a JSON object of the given columns' values as texts, by name. The same file twice makes the same ids;
    equal rows in one file make different ones. The time in front keeps neighbours in time neighbours in the index.
    """
    digest = hashlib.sha256(content.encode("utf-8", "surrogatepass")).digest()
    milliseconds = max(0, int(created_at.timestamp() * 1000)) & (2**48 - 1)
    number = occurrences.count(milliseconds, digest)
    number = int.from_bytes(hashlib.sha256(digest + number.to_bytes(8)).digest()[:10])
    return UUID(int=milliseconds << 80 | 0x8 << 76 | (number >> 68) << 64 | 0b10 << 62 | number & (2**62 - 1))


def _convert(column: str, text: str, zone: str) -> Any:
    """A cell's text as the column's type. Raises `UsageError` with the column and what it holds."""
    reader = _READERS.get(column)
    if reader is None and text.isprintable() and column != "created_at":
        return text
    try:
        if column == "created_at":
            return _moment(text, zone)
        if not text.isprintable():
            text.encode("utf-8")  # what wasn't UTF-8 came in as lone surrogates
            text = text.replace("\0", "\ufffd")  # as TokenUsage does, for the columns it doesn't have
        return reader(text) if reader else text
    except (ValueError, ArithmeticError, RecursionError):
        shown = repr(text[:60]) if text else "nothing"
        raise UsageError(f"{column} holds {shown}, which is not {_EXPECTED.get(column, 'UTF-8 text')}") from None


def _moment(text: str, zone: str) -> datetime:
    moment = datetime.fromisoformat(text)
    return (moment if moment.tzinfo else moment.replace(tzinfo=ZoneInfo(zone))).astimezone(UTC)


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
    "created_at": "an ISO 8601 time",
    "cost": "a number",
    "success": "true or false",
    "is_test": "true or false",
    "metadata": "a JSON object",
    "id": "a UUID",
}
