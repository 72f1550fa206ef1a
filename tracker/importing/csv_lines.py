"""The records of a CSV file, where one broken line costs one line: a stray quote doesn't swallow what follows."""

from __future__ import annotations

import csv
import re
from collections import deque
from collections.abc import Iterator, Sequence
from typing import NamedTuple, TextIO

# A cell may hold line breaks, but a quote that stays open for longer than this was never meant to open.
_LONGEST_RECORD_LINES = 200
_LONGEST_LINE = 1_000_000


# Excel writes and reads this line in front of the header.
_SEPARATOR_LINE = re.compile(r"sep=(\\t|.)", re.IGNORECASE | re.DOTALL)
DELIMITERS = (",", ";", "\t", "|")


class Record(NamedTuple):
    """One record, or what is wrong with it; `cells` of a line that can't be parsed is the line itself."""

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


class Records(NamedTuple):
    """Records that nothing is wrong with: where each begins, and their cells by column."""

    lines: Sequence[int]
    columns: Sequence[Sequence[str]]


class _Open(Exception):  # noqa: N818  not an error: the record ends nowhere near
    pass


class CsvRecords:
    """Iterates over a file's records; once `width` is known, each must have as many cells.

    Excel's line `sep=;` in front of the header is skipped.
    """

    def __init__(self, file: TextIO, delimiter: str = ",") -> None:
        self._file = file
        self._ahead: deque[str] = deque()
        self._taken: list[str] = []
        self._line = 0
        self.width: int | None = None
        self.delimiter = delimiter
        first = self._next()
        if first and not _SEPARATOR_LINE.fullmatch(first.strip(" \r\n")):
            self._put_back([first])

    def _put_back(self, lines: Sequence[str]) -> None:
        self._ahead.extendleft(reversed(lines))
        self._line -= len(lines)

    def _reader(self) -> Iterator[list[str]]:
        return csv.reader(self._lines(), delimiter=self.delimiter, strict=True)

    def __iter__(self) -> Iterator[Record]:
        reader = self._reader()
        while True:
            self._taken.clear()
            first = self._line + 1
            try:
                cells = next(reader)
            except StopIteration:
                return
            except (csv.Error, _Open) as error:
                reason = str(error) or "a quote stays open"
                yield self._only_the_first(first, f"not readable as CSV: {reason}")
                reader = self._reader()
                continue
            if len(self._taken) > 1 and self.width is not None and len(cells) != self.width:
                yield self._only_the_first(first, "not readable as CSV: a quote joins it to the lines after it")
            elif cells and self.width not in {None, len(cells)}:
                yield Record(first, cells, f"{len(cells)} cells where the header has {self.width}")
            elif cells:
                yield Record(first, cells)

    def blocks(self, most: int, characters: int) -> Iterator[Records | Record]:
        """What `__iter__` gives, the right ones many at a time, by lines and by size; `width` must be known."""
        while lines := self._several(most, characters):
            if columns := self._at_once(lines):
                yield Records(range(self._line - len(lines) + 1, self._line + 1), columns)
            else:
                self._put_back(lines)
                yield from self._one_by_one(self._line + len(lines))

    def _several(self, most: int, characters: int) -> list[str]:
        lines: list[str] = []
        while len(lines) < most and characters > 0 and (line := self._next()):
            lines.append(line)
            characters -= len(line)
        return lines

    def _at_once(self, lines: list[str]) -> Sequence[Sequence[str]] | None:
        """The columns of lines, if each is a record by itself."""
        if max(map(len, lines)) > csv.field_size_limit():
            return None
        text = self.delimiter.join(lines)
        return self._parsed(lines) if '"' in text else self._split(lines, text)

    def _split(self, lines: list[str], text: str) -> Sequence[Sequence[str]] | None:
        """Without quotes there is nothing to parse, which is far quicker."""
        width = lines[0].count(self.delimiter) + 1
        # A blank line is no record; in a file of one column it would look like one.
        if width == 1 or width != self.width or {line.count(self.delimiter) for line in lines} != {width - 1}:
            return None
        cells = text.split(self.delimiter)
        *columns, last = (cells[place::width] for place in range(width))
        return [*columns, [cell.rstrip("\r\n") for cell in last]]

    def _parsed(self, lines: list[str]) -> Sequence[Sequence[str]] | None:
        try:
            cells = list(csv.reader(lines, delimiter=self.delimiter, strict=True))
        except csv.Error:
            return None
        right = len(cells) == len(lines) and set(map(len, cells)) == {self.width}
        return list(zip(*cells, strict=True)) if right else None

    def _one_by_one(self, end: int) -> Iterator[Records | Record]:
        """Up to the line that ends what was given back, and those that the last record goes on in."""
        good = []
        for record in self:
            if record.problem:
                yield record
            else:
                good.append(record)
            if self._line >= end:
                break
        if good:
            yield Records([record.line for record in good], list(zip(*(record.cells for record in good), strict=True)))

    def _lines(self) -> Iterator[str]:
        while line := self._next():
            self._taken.append(line)
            if len(self._taken) > _LONGEST_RECORD_LINES or (len(line) >= _LONGEST_LINE and not line.endswith("\n")):
                raise _Open
            yield line

    def _next(self) -> str:
        line = self._ahead.popleft() if self._ahead else self._file.readline(_LONGEST_LINE)
        if line:
            self._line += 1
        return line

    def _only_the_first(self, number: int, problem: str) -> Record:
        """Give back all lines but the first, which is the broken one."""
        first, *others = self._taken
        self._put_back(others)
        if len(first) >= _LONGEST_LINE and not first.endswith("\n"):
            problem = f"longer than {_LONGEST_LINE:,} characters"
            while (rest := self._file.readline(_LONGEST_LINE)) and not rest.endswith("\n"):
                pass
        return Record(number, first.rstrip("\r\n")[:1000], problem)
