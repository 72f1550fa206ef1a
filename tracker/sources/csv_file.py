"""A CSV file of calls → rows, each with an id made of its content."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, TextIO
from uuid import UUID
from zoneinfo import ZoneInfo

from tracker.errors import SettingError, TrackerError, UsageError
from tracker.sources.csv_lines import CsvRecords
from tracker.usage import FIELDS, TokenUsage

_PLACE = ("environment", "platform", "region", "deployment")
IMPORTABLE: tuple[str, ...] = (*FIELDS, *_PLACE)
_REQUIRED = ("created_at", "model", "input_tokens", "output_tokens")


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
        for column in _REQUIRED:
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
    places = plan.places(header)
    constants = {column: _convert(column, value, plan.zone) for column, value in plan.constants.items()}
    yield None
    seen: Counter[bytes] = Counter()
    for line, cells, problem in records:
        if problem:
            yield Reject(line, problem, cells)
        else:
            yield _read_row(line, cells, len(header), places, constants, plan.zone, seen)


def _read_row(
    line: int,
    cells: list[str],
    width: int,
    places: Mapping[str, int],
    constants: Mapping[str, Any],
    zone: str,
    seen: Counter[bytes],
) -> Call | Reject:
    if len(cells) != width:
        return Reject(line, f"{len(cells)} cells where the header has {width}", cells)
    try:
        given = dict(constants)
        for column, place in places.items():
            if (text := cells[place].strip()) or column in _REQUIRED:
                given[column] = _convert(column, text, zone)
        usage = TokenUsage(**{name: value for name, value in given.items() if name not in _PLACE})
    except (TrackerError, ValueError) as error:
        return Reject(line, str(error), cells)
    row = usage.as_row() | {name: given.get(name) for name in _PLACE}
    if "id" not in given:
        row["id"] = _content_id({name: row[name] for name in given}, usage.created_at, seen)
    return Call(line, row, cells)


def _content_id(content: Mapping[str, Any], created_at: datetime, seen: Counter[bytes]) -> UUID:
    """A UUIDv8 (RFC 9562, 5.8): the call's milliseconds, then a digest of its content and its occurrence number.

    The same file twice makes the same ids; equal rows in one file make different ones. The time in front keeps
    neighbours in time neighbours in the key's index.
    """
    text = json.dumps({name: str(value) for name, value in content.items()}, sort_keys=True)
    digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()
    seen[digest] += 1
    number = int.from_bytes(hashlib.sha256(digest + seen[digest].to_bytes(8)).digest()[:10])
    milliseconds = max(0, int(created_at.timestamp() * 1000)) & (2**48 - 1)
    return UUID(int=milliseconds << 80 | 0x8 << 76 | (number >> 68) << 64 | 0b10 << 62 | number & (2**62 - 1))


def _convert(column: str, text: str, zone: str) -> Any:
    """A cell's text as the column's type. Raises `UsageError` with the column and what it holds."""
    reader = _READERS.get(column)
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
