"""Reads the records of a damaged outbox page by page, because SQLite stops at the first page that it can't read.

Source: sqlite.org/fileformat2.html. The tables of records are b-trees without row ids, whose cells contain whole rows.
The rows of each readable page can therefore be read even if its parent pages are damaged.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from tracker.recording.outbox.store import QueuedRecord

_LEAF, _INTERIOR = 0x0A, 0x02
_MIN_PAGE_BYTES, _DEFAULT_PAGE_BYTES, _MAX_PAGE_BYTES = 512, 4096, 65_536
_WAL_HEADER, _FRAME_HEADER = 32, 24
_RECORD_COLUMNS, _DEAD_LETTER_COLUMNS = 5, 6
_MAX_PAGES_PER_ROW = 100_000
# The size of a value by its serial type, except for text and blobs.
_SIZES = {0: 0, 1: 1, 2: 2, 3: 3, 4: 4, 5: 6, 6: 8, 7: 8, 8: 0, 9: 0}


_Row = tuple[QueuedRecord, str | None]


class Salvaged(NamedTuple):
    """The readable records: the queued ones, and the dead letters with their reasons."""

    waiting: list[QueuedRecord]
    dead_letters: list[tuple[QueuedRecord, str]]


def salvage(path: Path) -> Salvaged:
    """Read all readable records. Raises `OSError`."""
    pages = _Pages(path)
    waiting: dict[tuple[str, str, int], QueuedRecord] = {}
    refused: dict[tuple[str, str, int], tuple[QueuedRecord, str]] = {}
    for record, reason in pages.rows():
        if reason is None:
            waiting[record.key] = record
        else:
            refused[record.key] = (record, reason)
    return Salvaged([waiting[key] for key in sorted(waiting)], [refused[key] for key in sorted(refused)])


class _Pages:
    """The pages of a file; a page in its write-ahead log replaces the page in the file."""

    def __init__(self, path: Path) -> None:
        self._data = path.read_bytes()
        self._size = self._page_size()
        self._usable = self._size - (self._data[20] if self._data[:6] == b"SQLite" else 0)
        self._newer = dict(self._frames(Path(f"{path}-wal")))
        self._count = max(-(-len(self._data) // self._size), max(self._newer, default=0))
        self._free = self._free_pages()

    def _page_size(self) -> int:
        size = int.from_bytes(self._data[16:18], "big") if len(self._data) > 18 else 0
        size = _MAX_PAGE_BYTES if size == 1 else size
        is_power_of_two = size >= _MIN_PAGE_BYTES and size & (size - 1) == 0
        return size if is_power_of_two and self._data[:6] == b"SQLite" else _DEFAULT_PAGE_BYTES

    def _frames(self, path: Path) -> Iterator[tuple[int, bytes]]:
        """The pages of the write-ahead log, up to the last commit."""
        try:
            log = path.read_bytes()
        except OSError:
            return
        salt = log[16:24]
        pending: list[tuple[int, bytes]] = []
        for start in range(_WAL_HEADER, len(log) - self._size - _FRAME_HEADER + 1, self._size + _FRAME_HEADER):
            number, commit = struct.unpack_from(">II", log, start)
            if log[start + 8 : start + 16] != salt:
                return
            pending.append((number, log[start + _FRAME_HEADER : start + _FRAME_HEADER + self._size]))
            if commit:
                yield from pending
                pending = []

    def _page(self, number: int) -> bytes:
        return self._newer.get(number) or self._data[(number - 1) * self._size : number * self._size]

    def _free_pages(self) -> set[int]:
        """The unused pages, which may still contain deleted rows."""
        first = self._page(1)
        if first[:6] != b"SQLite" or len(first) < 40:
            return set()
        free: set[int] = set()
        trunk = int.from_bytes(first[32:36], "big")
        while 0 < trunk <= self._count and trunk not in free:
            free.add(trunk)
            page = self._page(trunk)
            count = min(int.from_bytes(page[4:8], "big"), self._size // 4 - 2)
            free.update(int.from_bytes(page[8 + 4 * at : 12 + 4 * at], "big") for at in range(count))
            trunk = int.from_bytes(page[:4], "big")
        return free

    def rows(self) -> Iterator[_Row]:
        """Every row of the two tables of records."""
        for number in range(1, self._count + 1):
            page = self._page(number)
            if number in self._free or len(page) < self._size or page[0] not in {_LEAF, _INTERIOR}:
                continue
            cells = 8 if page[0] == _LEAF else 12
            count = min(int.from_bytes(page[3:5], "big"), (self._size - cells) // 2)
            for at in range(count):
                start = int.from_bytes(page[cells + 2 * at : cells + 2 * at + 2], "big")
                try:
                    row = _row(self._payload(page, start + (0 if page[0] == _LEAF else 4)))
                except (IndexError, ValueError, struct.error):
                    continue
                if row is not None:
                    yield row

    def _payload(self, page: bytes, start: int) -> bytes:
        """The content of a cell, from its page and its overflow pages."""
        length, start = _varint(page, start)
        largest = (self._usable - 12) * 64 // 255 - 23
        smallest = (self._usable - 12) * 32 // 255 - 23
        if length <= largest:
            return page[start : start + length]
        local = smallest + (length - smallest) % (self._usable - 4)
        local = local if local <= largest else smallest
        chunks = [page[start : start + local]]
        next_number = int.from_bytes(page[start + local : start + local + 4], "big")
        left = length - local
        while left > 0:
            if not 0 < next_number <= self._count or len(chunks) > _MAX_PAGES_PER_ROW:
                raise ValueError("a page of the row is missing")
            overflow = self._page(next_number)
            chunks.append(overflow[4 : 4 + min(left, self._usable - 4)])
            left -= self._usable - 4
            next_number = int.from_bytes(overflow[:4], "big")
        return b"".join(chunks)


def _varint(data: bytes, start: int) -> tuple[int, int]:
    value = 0
    for at in range(8):
        byte = data[start + at]
        value = value << 7 | byte & 0x7F
        if byte < 0x80:
            return value, start + at + 1
    return value << 8 | data[start + 8], start + 9


def _row(payload: bytes) -> _Row | None:
    """The row of a table of records; None for another table. Raises an exception for unreadable content."""
    header, at = _varint(payload, 0)
    types: list[int] = []
    while at < header:
        kind, at = _varint(payload, at)
        types.append(kind)
    if len(types) not in {_RECORD_COLUMNS, _DEAD_LETTER_COLUMNS}:
        return None
    values: list[object] = []
    at = header
    for kind in types:
        size = _SIZES[kind] if kind in _SIZES else (kind - 12) // 2
        part = payload[at : at + size]
        if len(part) < size:
            raise ValueError("the row ends early")
        values.append(_value(kind, part))
        at += size
    return _checked(values)


def _value(kind: int, part: bytes) -> object:
    if kind in {8, 9}:
        return kind - 8
    if kind == 7:
        return struct.unpack(">d", part)[0]
    if kind in _SIZES:
        return int.from_bytes(part, "big", signed=True) if part else None
    return part.decode() if kind % 2 else part


def _checked(values: list[object]) -> _Row | None:
    id_, instance, sequence, document = values[:4]
    if not (isinstance(id_, str) and isinstance(instance, str) and isinstance(sequence, int)):
        return None
    if not isinstance(document, str) or not isinstance(json.loads(document), dict):
        return None
    reason = str(values[-1]) if len(values) == _DEAD_LETTER_COLUMNS else None
    return QueuedRecord(id_, instance, sequence, document), reason
