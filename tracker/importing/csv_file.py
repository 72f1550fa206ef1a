"""Reads a CSV file of calls as blocks of rows."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TextIO

from tracker.errors import SettingError
from tracker.importing.column_mapping import ColumnMapping
from tracker.importing.csv_lines import CsvRecord, CsvRecords
from tracker.importing.row_builder import BLOCK_CHARACTERS, BLOCK_ROWS, RecordBlock, Reject, RowBlock, RowBuilder


def read_calls(file: TextIO, mapping: ColumnMapping, delimiter: str = ",") -> Iterator[RowBlock | Reject | None]:
    """Yield None once the header is read and valid, then blocks of rows, and each reject by itself.

    The file's text is UTF-8 read with `surrogateescape`. Raises `SettingError` for an invalid header.
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
    builder = RowBuilder(mapping, header, delimiter=delimiter)
    yield None
    for block in records.blocks(BLOCK_ROWS, BLOCK_CHARACTERS):
        if isinstance(block, CsvRecord):
            yield Reject(block.line, block.problem or "", block.cells)
        else:
            yield from builder.build(RecordBlock(block.lines, block.columns))
