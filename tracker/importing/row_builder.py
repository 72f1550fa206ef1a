"""Builds storable rows from the cells of a file, block by block and column by column; ids are derived from content."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import compress
from operator import add
from typing import Any
from uuid import UUID

from tracker.importing.cell_parsers import NULL, ColumnParser, copy_text
from tracker.importing.column_mapping import DEPLOYMENT_COLUMNS, REQUIRED, ColumnMapping
from tracker.importing.content_ids import ContentIds
from tracker.importing.decimal_marks import DecimalMark
from tracker.usage import DEFAULTS, TOKEN_COLUMNS, complete_row, invalid_row_indices

BLOCK_ROWS = 10_000
BLOCK_CHARACTERS = 4_000_000


@dataclass(frozen=True, slots=True)
class RecordBlock:
    """Records that are parsed together: the line where each begins, and the texts of their cells by column."""

    lines: Sequence[int]
    columns: Sequence[Sequence[str]]
    origins: Sequence[Sequence[str] | str] | None = None
    """The records as the file has them; None if these are the cells."""
    identities: Sequence[str | None] | None = None
    """The texts that identify the records although their counts change; None derives the ids from all cells."""

    def cells(self, index: int) -> list[str]:
        """The cells of one record."""
        return [column[index] for column in self.columns]

    def origin(self, index: int) -> tuple[int, Sequence[str] | str]:
        """The line where one record begins, and the record as the file has it."""
        return self.lines[index], self.cells(index) if self.origins is None else self.origins[index]

    def without(self, indices: Collection[int]) -> RecordBlock:
        """The block without these records."""
        kept = [index not in indices for index in range(len(self.lines))]
        return RecordBlock(
            list(compress(self.lines, kept)),
            [list(compress(column, kept)) for column in self.columns],
            self.origins and list(compress(self.origins, kept)),
            self.identities and list(compress(self.identities, kept)),
        )


@dataclass(frozen=True, slots=True)
class Reject:
    """A row that can't be stored, and why; `cells` is one text if the row can't be split into cells."""

    line: int
    reason: str
    cells: Sequence[str] | str


@dataclass(frozen=True, slots=True)
class RowBlock:
    """Rows that can be stored: the columns that vary as COPY texts, and the values of the others."""

    columns: Mapping[str, Sequence[str]]
    constants: Mapping[str, Any]
    created_at: Sequence[datetime]
    block: RecordBlock
    build_row: Callable[[Sequence[str]], dict[str, Any]]

    def without(self, indices: Collection[int]) -> RowBlock:
        """The block without these rows."""
        kept = [index not in indices for index in range(len(self.created_at))]
        return RowBlock(
            {name: list(compress(texts, kept)) for name, texts in self.columns.items()},
            self.constants,
            list(compress(self.created_at, kept)),
            self.block.without(indices),
            self.build_row,
        )

    def row(self, index: int) -> dict[str, Any]:
        """One row by column name, as Python values."""
        return {**self.build_row(self.block.cells(index)), "id": UUID(self.columns["id"][index])}

    def source(self, index: int) -> tuple[int, Sequence[str] | str]:
        """The line where one row begins, and the record as the file has it."""
        return self.block.origin(index)


class RowBuilder:
    """Builds rows from blocks of cells. An import has millions of rows, so all work is done per column, not per row."""

    def __init__(self, mapping: ColumnMapping, header: Sequence[str], *, delimiter: str = ",") -> None:
        """If the file's delimiter is not a comma, numbers may have a decimal comma.

        Raises `SettingError` if the mapping doesn't fit the header, `UsageError` for an invalid constant."""
        positions = mapping.column_positions(header)

        def parser(name: str) -> ColumnParser:
            mark = DecimalMark(mapping.decimal) if mapping.decimal or delimiter != "," else None
            constant = mapping.constants.get(name)
            return ColumnParser(name, mapping.zone, required=name in REQUIRED, constant=constant, mark=mark)

        # Sorted by name: if a row has several errors, the first of them is reported.
        self._parsers = {name: (positions[name], parser(name)) for name in sorted(positions)}
        constants = {name: parser(name) for name in mapping.constants if name not in positions}
        # Sorted by name as well, because the content of a row, from which its id is derived, is.
        self._contents = {name: constant.absent_content for name, constant in constants.items()}
        self._names = sorted({*positions, *constants})
        self._defaults = {**DEFAULTS, **dict.fromkeys(DEPLOYMENT_COLUMNS), "id": None}
        self._defaults.update((name, constant.absent) for name, constant in constants.items())
        self._ids = ContentIds()

    def build(self, block: RecordBlock) -> Iterator[RowBlock | Reject]:
        """The rejects of a block, then all rows that can be stored."""
        for find_invalid in (self._unreadable, self._inconsistent):
            if block.lines and (indices := find_invalid(block)):
                yield from (self._reject(block, index) for index in sorted(indices))
                block = block.without(indices)
        if block.lines:
            yield self._row_block(block)

    def row(self, cells: Sequence[str]) -> dict[str, Any]:
        """One row as Python values, without an id derived from its content. Raises `UsageError`."""
        row = self._defaults.copy()
        for name, (position, parser) in self._parsers.items():
            row[name] = parser.value(cells[position])
        return complete_row(row)

    def _reject(self, block: RecordBlock, index: int) -> Reject:
        line, cells = block.origin(index)
        try:
            self.row(block.cells(index))
        except ValueError as error:
            return Reject(line, str(error), cells)
        return Reject(line, "its counts don't fit together", cells)

    def _unreadable(self, block: RecordBlock) -> set[int]:
        """The indices of the records with a cell that can't be parsed."""
        indices: set[int] = set()
        for position, parser in self._parsers.values():
            texts = block.columns[position]
            if unreadable := parser.parse(set(texts)):
                indices.update(index for index, text in enumerate(texts) if text in unreadable)
        return indices

    def _inconsistent(self, block: RecordBlock) -> set[int]:
        """The indices of the records whose counts contradict each other."""
        return invalid_row_indices([self._values(block, name) for name in (*TOKEN_COLUMNS, "total_tokens")])

    def _values(self, block: RecordBlock, name: str) -> Sequence[Any]:
        if name not in self._parsers:
            return [self._defaults[name]] * len(block.lines)
        position, parser = self._parsers[name]
        return list(map(parser.values.__getitem__, block.columns[position]))

    def _row_block(self, block: RecordBlock) -> RowBlock:
        columns: dict[str, Sequence[str]] = {}
        constants = self._defaults.copy()
        contents: dict[str, Iterable[str]] = {
            name: [content] * len(block.lines) for name, content in self._contents.items()
        }
        for name, (position, parser) in self._parsers.items():
            texts = block.columns[position]
            contents[name] = map(parser.contents.__getitem__, texts)
            if texts.count(texts[0]) == len(texts):
                constants[name] = parser.values[texts[0]]
            else:
                columns[name] = list(map(parser.texts.__getitem__, texts))
        created_at = self._values(block, "created_at")
        row_contents = [
            f"{{{''.join(parts)[:-2]}}}" for parts in zip(*(contents[name] for name in self._names), strict=True)
        ]

        def texts_of(name: str) -> Sequence[str]:
            return columns.get(name) or [copy_text(constants[name], str(constants[name]))] * len(block.lines)

        columns |= self._derived_columns(block, texts_of)
        columns["id"] = self._ids_of(block, row_contents, created_at, texts_of("id"))
        constant_names = constants.keys() - columns.keys()
        return RowBlock(columns, {name: constants[name] for name in constant_names}, created_at, block, self.row)

    def _derived_columns(
        self, block: RecordBlock, texts_of: Callable[[str], Sequence[str]]
    ) -> dict[str, Sequence[str]]:
        """The columns that follow from others, by the rules of `complete_row` for one row."""
        derived: dict[str, Sequence[str]] = {}
        if NULL in (totals := texts_of("total_tokens")):
            sums = map(add, self._values(block, "input_tokens"), self._values(block, "output_tokens"))
            derived["total_tokens"] = [
                str(computed) if total == NULL else total for total, computed in zip(totals, sums, strict=True)
            ]
        if NULL in (sources := texts_of("cost_source")):
            derived["cost_source"] = [
                "provided" if source == NULL != cost else source
                for source, cost in zip(sources, texts_of("cost"), strict=True)
            ]
        return derived

    def _ids_of(
        self, block: RecordBlock, contents: Sequence[str], created_at: Sequence[datetime], given: Sequence[str]
    ) -> Sequence[str]:
        """The id of each row: the file's own, or one derived from the row's identity or content."""
        if NULL not in given:
            return given
        if block.identities is not None:
            contents = [identity or content for identity, content in zip(block.identities, contents, strict=True)]
        return [
            self._ids.derive(content, time) if own_id == NULL else own_id
            for content, time, own_id in zip(contents, created_at, given, strict=True)
        ]
