"""Draws a table of usage as lines of styled text that fit the width of a terminal."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Literal

from tracker.cli.terminal import terminal_text

Style = Literal["", "heading", "bar", "name"]
Line = list[tuple[str, Style]]
_MAX_BAR_WIDTH, _MIN_BAR_WIDTH = 24, 6
_GAP = "  "
_BAR_PARTS = "▏▎▍▌▋▊▉█"
_MEASURES = {"total_tokens": "Tokens", "cost_usd": "Cost", "calls": "Calls"}
NOT_SET, UNKNOWN = "(not set)", "unknown"
"""What the pages show for a property or a column without a value."""


@dataclass(frozen=True, slots=True)
class UsageTable:
    """Rows of usage with their dimensions, tokens, cost and calls; `heading` are the lines above them."""

    dimensions: Sequence[str]
    rows: Sequence[Mapping[str, Any]]
    heading: Sequence[str]


def draw(table: UsageTable, width: int | None, encoding: str) -> list[Line]:
    """The lines of the table, none wider than `width` columns (None: no limit, as in a pipe).

    If the columns do not fit, each row is a block of lines. Nothing is cut off.
    """
    heading = [*table.heading, *([] if table.rows else ["No calls in this range."])]
    lines = [line for text in heading for line in _wrapped(_encodable(text, encoding), width)]
    if not table.rows:
        return lines
    names = [[_name(dimension, row[dimension]) for dimension in table.dimensions] for row in table.rows]
    values = [[_encodable(text, encoding) for text in _values(row)] for row in table.rows]
    headers = [*table.dimensions, *_MEASURES.values()]
    cells = [[*row_names, *row_values] for row_names, row_values in zip(names, values, strict=True)]
    widths = [max(cell_width(row[number]) for row in [headers, *cells]) for number in range(len(headers))]
    needed = sum(widths) + len(_GAP) * (len(widths) - 1)
    shares = _shares(table.rows)
    lines.append([])
    if width is None or needed <= width:
        room = _MAX_BAR_WIDTH if width is None else min(_MAX_BAR_WIDTH, width - needed - len(_GAP))
        bars = [bar(share, room, encoding) if room >= _MIN_BAR_WIDTH else "" for share in shares]
        lines += _columns(headers, cells, widths, bars, len(table.dimensions))
    else:
        for row_names, row_values, share in zip(names, values, shares, strict=True):
            drawn = bar(share, width - len(_GAP), encoding)
            lines += _block(table.dimensions, row_names, row_values, widths[len(table.dimensions) :], drawn, width)
    return lines


def _columns(
    headers: Sequence[str], cells: Sequence[Sequence[str]], widths: Sequence[int], bars: Sequence[str], names: int
) -> Iterator[Line]:
    def padded(row: Sequence[str]) -> list[str]:
        return [
            text + " " * (width - cell_width(text)) if number < names else " " * (width - cell_width(text)) + text
            for number, (text, width) in enumerate(zip(row, widths, strict=True))
        ]

    yield [(_GAP.join(padded(headers)), "heading")]
    for row, drawn in zip(cells, bars, strict=True):
        texts = padded(row)
        line: Line = [(text + _GAP, "name" if number < names else "") for number, text in enumerate(texts)]
        yield [*line, (drawn, "bar")]


def _block(
    dimensions: Sequence[str],
    names: Sequence[str],
    values: Sequence[str],
    value_widths: Sequence[int],
    drawn: str,
    width: int,
) -> Iterator[Line]:
    """A row as lines: its names, its bar, and one line for each measure, or more if the value is too long."""
    for dimension, name in zip(dimensions, names, strict=True):
        text = name if len(dimensions) == 1 else f"{dimension}: {name}"
        yield from _wrapped(text, width, "name")
    yield [(_GAP, ""), (drawn, "bar")]
    labels = [*_MEASURES.values()]
    label_width, value_width = max(map(len, labels)), max(value_widths)
    for label, value in zip(labels, values, strict=True):
        line = f"{_GAP}{label:<{label_width}}{_GAP}{' ' * (value_width - cell_width(value))}{value}"
        yield from _wrapped(line if cell_width(line) <= width else f"{label} {value}", width)


def _shares(rows: Sequence[Mapping[str, Any]]) -> list[float]:
    """The tokens of each row by those of the largest one."""
    largest = max((row["total_tokens"] for row in rows), default=0)
    return [row["total_tokens"] / largest if largest else 0.0 for row in rows]


def bar(share: float, width: int, encoding: str) -> str:
    """A bar of at most `width` columns; of `#` if the encoding has no blocks."""
    if not _can_encode(_BAR_PARTS, encoding):
        return "#" * round(share * width)
    whole, part = divmod(round(share * width * 8), 8)
    return "█" * whole + (_BAR_PARTS[part - 1] if part else "")


def _values(row: Mapping[str, Any]) -> list[str]:
    return [f"{row['total_tokens']:,}", usd(row["cost_usd"], row["unpriced_calls"]), f"{row['calls']:,}"]


def usd(amount: Decimal | None, unpriced_calls: int) -> str:
    """The cost in US dollars; `≥` if some calls have no price. Without any price it is `unpriced`, never 0."""
    if amount is None:
        return "unpriced"
    size = abs(amount)
    digits = 0 if size >= 1000 else 2 if size >= Decimal("0.01") or not size else 6
    text = f"{'-' if amount < 0 else ''}${size:,.{digits}f}"
    return f"≥ {text}" if unpriced_calls else text


def _name(dimension: str, value: object) -> str:
    """The value of a dimension without control characters, and the page's word for a missing one."""
    if value is None:
        return NOT_SET if dimension.startswith("metadata.") else UNKNOWN
    return terminal_text(value)


def _encodable(text: str, encoding: str) -> str:
    return text if _can_encode(text, encoding) else text.replace("≥", ">=")


def _can_encode(text: str, encoding: str) -> bool:
    try:
        text.encode(encoding)
    except (UnicodeEncodeError, LookupError):
        return False
    return True


def cell_width(text: str) -> int:
    """The number of terminal columns of a text: two for a wide character, none for a combining one.

    >>> cell_width("모델"), cell_width("e\\u0301")
    (4, 1)
    """
    return sum(map(_char_width, text))


def _char_width(char: str) -> int:
    if unicodedata.combining(char) or unicodedata.category(char) in {"Mn", "Me", "Cf"}:
        return 0
    return 2 if unicodedata.east_asian_width(char) in "WF" else 1


def _wrapped(text: str, width: int | None, style: Style = "") -> list[Line]:
    return [[(part, style)] for part in wrap(text, width)]


def wrap(text: str, width: int | None) -> list[str]:
    """The text as lines of at most `width` columns, broken at spaces where possible."""
    if width is None or cell_width(text) <= width:
        return [text]
    lines, line = [], ""
    for word in text.split(" "):
        joined = f"{line} {word}" if line else word
        if cell_width(joined) <= width:
            line = joined
            continue
        if line:
            lines.append(line)
        *full, line = _parts(word, width)
        lines += full
    return [*lines, line]


def _parts(word: str, width: int) -> list[str]:
    """A word in parts of at most `width` columns."""
    parts, part, used = [], "", 0
    for char in word:
        size = _char_width(char)
        if part and used + size > width:
            parts.append(part)
            part, used = "", 0
        part, used = part + char, used + size
    return [*parts, part]
