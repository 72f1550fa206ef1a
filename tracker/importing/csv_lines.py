"""Splits a CSV file into records. A broken line costs one record: a stray quote doesn't join the lines after it."""

from __future__ import annotations

import csv
import re
from collections import deque
from collections.abc import Iterator, Sequence
from typing import NamedTuple, TextIO

# A cell may contain line breaks; a quote that is open for more lines than this is a stray quote.
_LONGEST_RECORD_LINES = 200
_LONGEST_LINE = 1_000_000


# Excel writes and reads this line before the header.
_SEPARATOR_LINE = re.compile(r"sep=(\\t|.)", re.IGNORECASE | re.DOTALL)
DELIMITERS = (",", ";", "\t", "|")


class CsvRecord(NamedTuple):
    """One record, or the problem with it; `cells` of a line that can't be parsed is the line itself."""

    line: int
    cells: list[str] | str
    problem: str | None = None


def delimiter_of(first_line: str) -> str:
    """The delimiter that Excel's line `sep=;` names, else the one that gives the header the most columns.

    >>> delimiter_of("created_at;model;cost")
    ';'
    """
    if named := _SEPARATOR_LINE.fullmatch(first_line.strip(" \r\n\ufeff")):
        return "\t" if named[1] == "\\t" else named[1]

    def width(delimiter: str) -> int:
        try:
            return len(next(csv.reader([first_line], delimiter=delimiter), []))
        except csv.Error:
            return 0

    return max(DELIMITERS, key=width)


class CsvBlock(NamedTuple):
    """Valid records: the line where each begins, and their cells by column."""

    lines: Sequence[int]
    columns: Sequence[Sequence[str]]


class _UnclosedQuoteError(Exception):
    """A record is longer than a record can be: its quote is a stray one."""


class CsvRecords:
    """Iterates over a file's records; if `width` is set, each must have as many cells.

    Excel's line `sep=;` before the header is skipped.
    """

    def __init__(self, file: TextIO, delimiter: str = ",") -> None:
        self._file = file
        self._pushed_back: deque[str] = deque()
        self._record_lines: list[str] = []
        self._line = 0
        self.width: int | None = None
        self.delimiter = delimiter
        first = self._next()
        if first and not _SEPARATOR_LINE.fullmatch(first.strip(" \r\n")):
            self._push_back([first])

    def _push_back(self, lines: Sequence[str]) -> None:
        self._pushed_back.extendleft(reversed(lines))
        self._line -= len(lines)

    def _reader(self) -> Iterator[list[str]]:
        return csv.reader(self._lines(), delimiter=self.delimiter, strict=True)

    def __iter__(self) -> Iterator[CsvRecord]:
        reader = self._reader()
        while True:
            self._record_lines.clear()
            first = self._line + 1
            try:
                cells = next(reader)
            except StopIteration:
                return
            except (csv.Error, _UnclosedQuoteError) as error:
                reason = str(error) or "a quote stays open"
                yield self._reject_first_line(first, f"not readable as CSV: {reason}")
                reader = self._reader()
                continue
            if len(self._record_lines) > 1 and self.width is not None and len(cells) != self.width:
                yield self._reject_first_line(first, "not readable as CSV: a quote joins it to the lines after it")
            elif cells and self.width not in {None, len(cells)}:
                yield CsvRecord(first, cells, f"{len(cells)} cells where the header has {self.width}")
            elif cells:
                yield CsvRecord(first, cells)

    def blocks(self, max_lines: int, characters: int) -> Iterator[CsvBlock | CsvRecord]:
        """Blocks of at most `max_lines` and about `characters`, and each invalid record by itself. Requires `width`."""
        while lines := self._read_lines(max_lines, characters):
            if columns := self._columns_of(lines):
                yield CsvBlock(range(self._line - len(lines) + 1, self._line + 1), columns)
            else:
                self._push_back(lines)
                yield from self._one_by_one(self._line + len(lines))

    def _read_lines(self, max_lines: int, characters: int) -> list[str]:
        lines: list[str] = []
        while len(lines) < max_lines and characters > 0 and (line := self._next()):
            lines.append(line)
            characters -= len(line)
        return lines

    def _columns_of(self, lines: list[str]) -> Sequence[Sequence[str]] | None:
        """The columns of these lines; None unless each line is one valid record."""
        if max(map(len, lines)) > csv.field_size_limit():
            return None
        text = self.delimiter.join(lines)
        return self._parsed(lines) if '"' in text else self._split(lines, text)

    def _split(self, lines: list[str], text: str) -> Sequence[Sequence[str]] | None:
        """Split lines without quotes, which is much faster than parsing them."""
        width = lines[0].count(self.delimiter) + 1
        # In a file with one column, a blank line looks like a record.
        if width == 1 or width != self.width or {line.count(self.delimiter) for line in lines} != {width - 1}:
            return None
        cells = text.split(self.delimiter)
        *columns, last = (cells[position::width] for position in range(width))
        return [*columns, [cell.rstrip("\r\n") for cell in last]]

    def _parsed(self, lines: list[str]) -> Sequence[Sequence[str]] | None:
        try:
            cells = list(csv.reader(lines, delimiter=self.delimiter, strict=True))
        except csv.Error:
            return None
        is_valid = len(cells) == len(lines) and set(map(len, cells)) == {self.width}
        return list(zip(*cells, strict=True)) if is_valid else None

    def _one_by_one(self, end: int) -> Iterator[CsvBlock | CsvRecord]:
        """Read the records up to line `end`, and the lines that the last record continues in."""
        valid = []
        for record in self:
            if record.problem:
                yield record
            else:
                valid.append(record)
            if self._line >= end:
                break
        if valid:
            yield CsvBlock(
                [record.line for record in valid], list(zip(*(record.cells for record in valid), strict=True))
            )

    def _lines(self) -> Iterator[str]:
        while line := self._next():
            self._record_lines.append(line)
            if len(self._record_lines) > _LONGEST_RECORD_LINES or (
                len(line) >= _LONGEST_LINE and not line.endswith("\n")
            ):
                raise _UnclosedQuoteError
            yield line

    def _next(self) -> str:
        line = self._pushed_back.popleft() if self._pushed_back else self._file.readline(_LONGEST_LINE)
        if line:
            self._line += 1
        return line

    def _reject_first_line(self, number: int, problem: str) -> CsvRecord:
        """A reject for the record's first line, which is the broken one; its other lines are read again."""
        first, *others = self._record_lines
        self._push_back(others)
        if len(first) >= _LONGEST_LINE and not first.endswith("\n"):
            problem = f"longer than {_LONGEST_LINE:,} characters"
            while (rest := self._file.readline(_LONGEST_LINE)) and not rest.endswith("\n"):
                pass
        return CsvRecord(number, first.rstrip("\r\n")[:1000], problem)
