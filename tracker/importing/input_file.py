"""Opens a file for import: detects gzip, the encoding and the kind of content from its first bytes."""

from __future__ import annotations

import codecs
import gzip
import io
import json
import os
import zlib
from pathlib import Path
from typing import Any, TextIO, cast

from tracker.errors import SettingError
from tracker.importing.csv_lines import delimiter_of
from tracker.importing.xlsx_rows import WorkbookLines

_HEAD_BYTES = 65_536
_GZIP = b"\x1f\x8b"
_ZIP = b"PK\x03\x04"
# Longest first: the mark of UTF-32 LE begins with that of UTF-16 LE.
_BYTE_ORDER_MARKS = (
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
# First bytes of formats that can't be imported: the name of the format, and the remedy.
_UNREADABLE = (
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "an Excel workbook of the old format (.xls): save it as .xlsx or CSV"),
    (b"BZh", "compressed with bzip2: decompress it first, or use gzip"),
    (b"\xfd7zXZ\x00", "compressed with xz: decompress it first, or use gzip"),
    (b"(\xb5/\xfd", "compressed with zstd: decompress it first, or use gzip"),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive: unpack it first"),
    (b"PAR1", "a Parquet file: export it as CSV or JSON lines"),
    (b"SQLite format 3\x00", "a SQLite database: export its rows as CSV or JSON lines"),
    (b"%PDF-", "a PDF document: export the data as CSV or JSON"),
)


class InputFile:
    """A file opened for import: `text` is its decoded text, `kind` is csv, json or jsonl.

    An Excel workbook is read as CSV.

    A pipe works as well as a file, since nothing is read twice. `problem` is set after reading when the compressed
    data is damaged or ends early: the text before that point was read.
    """

    def __init__(self, path: Path, *, newline: str | None = None) -> None:
        """Raises `SettingError` if the file can't be opened, or for a format that import can't read."""
        self.path = path
        try:
            self._raw = path.open("rb")
        except OSError as error:
            raise SettingError(f"{path}: {error.strerror}.") from None
        self.skipped = 0
        """The number of records that a profile skips, such as spans that are not AI calls."""
        self._compressed: _Decompressed | None = None
        self.text: TextIO
        try:
            self._open_text(newline)
        except BaseException:
            self._raw.close()
            raise

    def _open_text(self, newline: str | None) -> None:
        head, source = _with_head(self._raw)
        if head.startswith(_GZIP):
            self._compressed = _Decompressed(source)
            head, source = _with_head(self._compressed)
        self.is_empty = not head.strip()
        self._refuse_unreadable(head)
        if head.startswith(_ZIP):
            # The CSV reader needs only lines, which a workbook has too.
            self.text = cast(TextIO, WorkbookLines(self.path))
            self.kind, self.delimiter = "csv", ","
            return
        encoding = _encoding(head)
        # Lone surrogates mark bytes that are not UTF-8, so that the row is rejected; UTF-16 has no such bytes.
        errors = "surrogateescape" if encoding.startswith("utf-8") else "replace"
        self.text = io.TextIOWrapper(io.BufferedReader(source, _HEAD_BYTES), encoding, errors, newline)
        start = head.decode(encoding, "replace")
        self.kind = _kind(start)
        self.delimiter = delimiter_of(start.partition("\n")[0]) if self.kind == "csv" else ","

    def _refuse_unreadable(self, head: bytes) -> None:
        for start, name in _UNREADABLE:
            if head.startswith(start):
                raise SettingError(f"{self.path} is {name}.")
        if head.startswith(_ZIP) and (self._compressed or not self._raw.seekable()):
            raise SettingError(f"{self.path} is an Excel workbook or a ZIP archive inside a pipe or gzip: unpack it.")
        # A stray NUL is one broken cell; UTF-16, the only text with many of them, was detected before.
        is_utf8 = not head.startswith(_ZIP) and _encoding(head).startswith("utf-8")
        if is_utf8 and head.count(0) > len(head) // 20:
            raise SettingError(f"{self.path} is a binary file; import reads CSV, JSON, JSON lines and Excel (.xlsx).")

    @property
    def problem(self) -> str | None:
        """A message if the compressed data is damaged or cut off, else None."""
        return self._compressed.problem if self._compressed else None

    def read_share(self) -> float:
        """How much of the file has been read, from 0 to 1; 0 for a pipe, whose length is unknown."""
        if not self._raw.seekable():
            return 0.0
        return self._raw.tell() / max(1, os.fstat(self._raw.fileno()).st_size)

    def __enter__(self) -> InputFile:
        return self

    def __exit__(self, *_: object) -> None:
        self.text.close()
        self._raw.close()


def _with_head(source: io.RawIOBase | io.BufferedIOBase) -> tuple[bytes, _Replayed]:
    """The first bytes, and a stream that still delivers them."""
    head = b""
    while len(head) < _HEAD_BYTES and (more := source.read(_HEAD_BYTES - len(head))):
        head += more
    return head, _Replayed(head, source)


class _Replayed(io.RawIOBase):
    """A stream whose first bytes were read already."""

    def __init__(self, head: bytes, source: io.RawIOBase | io.BufferedIOBase) -> None:
        self._head, self._source = head, source

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any, /) -> int:
        part, self._head = self._head[: len(buffer)], self._head[len(buffer) :]
        part = part or self._source.read(len(buffer)) or b""
        buffer[: len(part)] = part
        return len(part)


class _Decompressed(io.RawIOBase):
    """The content of gzip data with any number of members; damage ends the stream and is stored in `problem`."""

    def __init__(self, source: _Replayed) -> None:
        self._gzip = gzip.GzipFile(fileobj=io.BufferedReader(source, _HEAD_BYTES))
        self.problem: str | None = None

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any, /) -> int:
        part = b"" if self.problem else self._next(len(buffer))
        buffer[: len(part)] = part
        return len(part)

    def _next(self, size: int) -> bytes:
        try:
            return self._gzip.read1(size)
        except EOFError:
            self.problem = "The gzip data ends early: the file was cut off. What precedes the cut was read."
        except (OSError, zlib.error):
            self.problem = "The gzip data is damaged. What precedes the damage was read."
        return b""


def _encoding(head: bytes) -> str:
    """The encoding by the byte order mark, or UTF-16 by its NUL bytes; UTF-8 otherwise."""
    for mark, encoding in _BYTE_ORDER_MARKS:
        if head.startswith(mark):
            return encoding
    sample = head[:1000]
    # Most characters of a header or of JSON are ASCII: one of their two bytes in UTF-16 is NUL.
    even, odd = sample[::2].count(0), sample[1::2].count(0)
    if len(sample) >= 4 and max(even, odd) > 0.4 * len(sample) / 2 and min(even, odd) == 0:
        return "utf-16-le" if odd else "utf-16-be"
    return "utf-8-sig"


def _kind(head: str) -> str:
    """csv, json or jsonl, by the first characters of the text."""
    head = head.lstrip("\ufeff \t\r\n")
    if head[:1] not in {"[", "{"}:
        return "csv"
    first, newline, rest = head.partition("\n")
    # JSON lines have one object per line; an object that continues in the next line is one document.
    is_document = head[0] == "[" or (newline and not _is_object(first) and not _is_object(rest.partition("\n")[0]))
    return "json" if is_document else "jsonl"


def _is_object(line: str) -> bool:
    try:
        return isinstance(json.loads(line), dict)
    except (ValueError, RecursionError):
        return False
