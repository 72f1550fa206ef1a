"""A CSV file of calls → blocks of rows."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TextIO

from tracker.errors import SettingError
from tracker.importing.column_mapping import ColumnMapping
from tracker.importing.csv_lines import CsvRecords, Record
from tracker.importing.row_builder import BLOCK_CHARACTERS, BLOCK_ROWS, Block, Calls, Reading, Reject


def read_calls(file: TextIO, plan: ColumnMapping, delimiter: str = ",") -> Iterator[Calls | Reject | None]:
    """Yield None once the header is read and found right, then the rows: calls in blocks, each reject by itself.

    The file's text is UTF-8 read with `surrogateescape`. Raises `SettingError` for what is wrong with the header.
    """
    records = CsvRecords(file, delimiter)
    first = next(iter(records), None)
    if first is not None and first.problem:
        reason = first.problem.removeprefix("not readable as CSV: ")
        raise SettingError(f"The file's first line can't be read as CSV: {reason}.")
    header = [name.strip() for name in first.cells] if first else []
    if not any(header):
        raise SettingError("The file is empty; its first line must name the columns.")
    records.width = len(header)
    reading = Reading(plan, header, delimiter=delimiter)
    yield None
    for found in records.blocks(BLOCK_ROWS, BLOCK_CHARACTERS):
        if isinstance(found, Record):
            yield Reject(found.line, found.problem or "", found.cells)
        else:
            yield from reading.block(Block(found.lines, found.columns))
