"""The records of a CSV file, where one broken line costs one line: a stray quote doesn't swallow what follows."""

from __future__ import annotations

import csv
from collections import deque
from collections.abc import Iterator
from typing import NamedTuple, TextIO

# A cell may hold line breaks, but a quote that stays open for longer than this was never meant to open.
_LONGEST_RECORD_LINES = 200
_LONGEST_LINE = 1_000_000


class Record(NamedTuple):
    """One record, or what is wrong with a line; `cells` of a broken line is the line as it came."""

    line: int
    cells: list[str]
    problem: str | None = None


class _Open(Exception):  # noqa: N818  not an error: the record ends nowhere near
    pass


class CsvRecords:
    """Iterates over a file's records; once `width` is known, a record of several lines must have it."""

    def __init__(self, file: TextIO) -> None:
        self._file = file
        self._ahead: deque[str] = deque()
        self._taken: list[str] = []
        self._line = 0
        self.width: int | None = None

    def __iter__(self) -> Iterator[Record]:
        reader = csv.reader(self._lines(), strict=True)
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
                reader = csv.reader(self._lines(), strict=True)
                continue
            if len(self._taken) > 1 and self.width is not None and len(cells) != self.width:
                yield self._only_the_first(first, "not readable as CSV: a quote joins it to the lines after it")
            elif cells:
                yield Record(first, cells)

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
        self._ahead.extendleft(reversed(others))
        self._line = number
        if len(first) >= _LONGEST_LINE and not first.endswith("\n"):
            problem = f"longer than {_LONGEST_LINE:,} characters"
            while (rest := self._file.readline(_LONGEST_LINE)) and not rest.endswith("\n"):
                pass
        return Record(number, [first.rstrip("\r\n")[:1000]], problem)
