"""Cells → rows that can be stored, a block at a time and column by column; each row with an id made of its content."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import compress
from operator import add
from typing import Any
from uuid import UUID

from tracker.importing.cell_parsers import NULL, Cells, written
from tracker.importing.column_mapping import PLACE, REQUIRED, ColumnMapping
from tracker.importing.content_ids import ContentIds
from tracker.importing.decimal_marks import DecimalMark
from tracker.usage import DEFAULTS, TOKEN_COLUMNS, complete_row, invalid_row_indices

BLOCK_ROWS = 10_000
BLOCK_CHARACTERS = 4_000_000


@dataclass(frozen=True, slots=True)
class Block:
    """Records that are read together: where each begins, and the texts of their cells by column."""

    lines: Sequence[int]
    columns: Sequence[Sequence[str]]
    # How each came, and what tells it from others though its figures change: where that isn't just its cells.
    origins: Sequence[Sequence[str] | str] | None = None
    identities: Sequence[str | None] | None = None

    def cells(self, place: int) -> list[str]:
        """One record's."""
        return [column[place] for column in self.columns]

    def origin(self, place: int) -> tuple[int, Sequence[str] | str]:
        """Where one record begins, and how it came."""
        return self.lines[place], self.cells(place) if self.origins is None else self.origins[place]

    def without(self, places: Collection[int]) -> Block:
        """The others."""
        kept = [place not in places for place in range(len(self.lines))]
        return Block(
            list(compress(self.lines, kept)),
            [list(compress(column, kept)) for column in self.columns],
            self.origins and list(compress(self.origins, kept)),
            self.identities and list(compress(self.identities, kept)),
        )


@dataclass(frozen=True, slots=True)
class Reject:
    """A row that can't be stored, and why; `cells` is one text where the row can't be split into cells."""

    line: int
    reason: str
    cells: Sequence[str] | str


@dataclass(frozen=True, slots=True)
class Calls:
    """Rows that can be stored: the texts of what differs as COPY writes them, and the values of what doesn't."""

    columns: Mapping[str, Sequence[str]]
    constants: Mapping[str, Any]
    created_at: Sequence[datetime]
    block: Block
    read: Callable[[Sequence[str]], dict[str, Any]]

    def without(self, places: Collection[int]) -> Calls:
        """The others."""
        kept = [place not in places for place in range(len(self.created_at))]
        return Calls(
            {name: list(compress(texts, kept)) for name, texts in self.columns.items()},
            self.constants,
            list(compress(self.created_at, kept)),
            self.block.without(places),
            self.read,
        )

    def row(self, index: int) -> dict[str, Any]:
        """One of them by the columns' names, as Python values."""
        return {**self.read(self.block.cells(index)), "id": UUID(self.columns["id"][index])}

    def source(self, index: int) -> tuple[int, Sequence[str] | str]:
        """Where one of them began, and how it came."""
        return self.block.origin(index)


class Reading:
    """How a file's cells become rows, worked out once.

    An import reads millions: nothing here is asked of a row that can be asked of a column.
    """

    def __init__(self, plan: ColumnMapping, header: Sequence[str], *, delimiter: str = ",") -> None:
        """In a file with another delimiter than the comma, numbers may have a decimal comma.

        Raises `SettingError` for a plan that the header doesn't fit, `UsageError` for a constant."""
        places = plan.places(header)

        def cells(name: str) -> Cells:
            mark = DecimalMark(plan.decimal) if plan.decimal or delimiter != "," else None
            return Cells(name, plan.zone, required=name in REQUIRED, constant=plan.constants.get(name), mark=mark)

        # In the order of their names: of several mistakes in a row the first of these is told.
        self._cells = {name: (places[name], cells(name)) for name in sorted(places)}
        everywhere = {name: cells(name) for name in plan.constants if name not in places}
        # In the order of their names too, as a content is written.
        self._contents = {name: one.absent_content for name, one in everywhere.items()}
        self._names = sorted({*places, *everywhere})
        self._fresh = {**DEFAULTS, **dict.fromkeys(PLACE), "id": None}
        self._fresh.update((name, one.absent) for name, one in everywhere.items())
        self._ids = ContentIds()

    def block(self, block: Block) -> Iterator[Calls | Reject]:
        """What can't be stored, then all that can."""
        for wrong in (self._unreadable, self._unfitting):
            if block.lines and (places := wrong(block)):
                yield from (self._rejected(block, place) for place in sorted(places))
                block = block.without(places)
        if block.lines:
            yield self._calls(block)

    def row(self, cells: Sequence[str]) -> dict[str, Any]:
        """One row as Python values, without an id of its content. Raises `UsageError`."""
        row = self._fresh.copy()
        for name, (place, known) in self._cells.items():
            row[name] = known.value(cells[place])
        return complete_row(row)

    def _rejected(self, block: Block, place: int) -> Reject:
        line, cells = block.origin(place)
        try:
            self.row(block.cells(place))
        except ValueError as error:
            return Reject(line, str(error), cells)
        return Reject(line, "its counts don't fit together", cells)

    def _unreadable(self, block: Block) -> set[int]:
        wrong: set[int] = set()
        for place, cells in self._cells.values():
            if unreadable := cells.learn(set(block.columns[place])):
                wrong.update(row for row, text in enumerate(block.columns[place]) if text in unreadable)
        return wrong

    def _unfitting(self, block: Block) -> set[int]:
        return invalid_row_indices([self._values(block, name) for name in (*TOKEN_COLUMNS, "total_tokens")])

    def _values(self, block: Block, name: str) -> Sequence[Any]:
        if name not in self._cells:
            return [self._fresh[name]] * len(block.lines)
        place, cells = self._cells[name]
        return list(map(cells.values.__getitem__, block.columns[place]))

    def _calls(self, block: Block) -> Calls:
        columns: dict[str, Sequence[str]] = {}
        constants = self._fresh.copy()
        contents: dict[str, Iterable[str]] = {
            name: [content] * len(block.lines) for name, content in self._contents.items()
        }
        for name, (place, cells) in self._cells.items():
            texts = block.columns[place]
            contents[name] = map(cells.contents.__getitem__, texts)
            if texts.count(texts[0]) == len(texts):
                constants[name] = cells.values[texts[0]]
            else:
                columns[name] = list(map(cells.texts.__getitem__, texts))
        moments = self._values(block, "created_at")
        says = [f"{{{''.join(pieces)[:-2]}}}" for pieces in zip(*(contents[name] for name in self._names), strict=True)]

        def texts_of(name: str) -> Sequence[str]:
            return columns.get(name) or [written(constants[name], str(constants[name]))] * len(block.lines)

        columns |= self._following(block, texts_of)
        columns["id"] = self._identified(block, says, moments, texts_of("id"))
        varying = constants.keys() - columns.keys()
        return Calls(columns, {name: constants[name] for name in varying}, moments, block, self.row)

    def _following(self, block: Block, texts_of: Callable[[str], Sequence[str]]) -> dict[str, Sequence[str]]:
        """The columns that follow from others, as `complete_row` finds them for one row."""
        found: dict[str, Sequence[str]] = {}
        if NULL in (totals := texts_of("total_tokens")):
            sums = map(add, self._values(block, "input_tokens"), self._values(block, "output_tokens"))
            found["total_tokens"] = [
                str(made) if total == NULL else total for total, made in zip(totals, sums, strict=True)
            ]
        if NULL in (sources := texts_of("cost_source")):
            found["cost_source"] = [
                "provided" if source == NULL != cost else source
                for source, cost in zip(sources, texts_of("cost"), strict=True)
            ]
        return found

    def _identified(
        self, block: Block, says: Sequence[str], moments: Sequence[datetime], given: Sequence[str]
    ) -> Sequence[str]:
        """Each row's id: its own, or one made of its identity, or of what it says."""
        if NULL not in given:
            return given
        if block.identities is not None:
            says = [identity or said for identity, said in zip(block.identities, says, strict=True)]
        return [
            self._ids.of(said, moment) if own == NULL else own
            for said, moment, own in zip(says, moments, given, strict=True)
        ]
