"""Writes the file of rejected rows, each with its line, the reason, and the imported file."""

from __future__ import annotations

import csv
import io
import os
import stat
from itertools import count
from pathlib import Path
from types import TracebackType
from typing import Any, TextIO

from tracker.errors import SettingError
from tracker.importing.row_builder import Reject

_BUFFERED_ROWS = 10_000
_HEADER = ("line", "reason", "row", "file")
_FIRST_LINE = b"line,reason,row"


def rejects_path(given: Path | None, source: Path) -> Path:
    """The path of the rejects of `source`: NAME.rejects.csv unless given; NAME with its suffix if that isn't .csv.

    If that file contains the rejects of another imported file, the path is NAME-2.rejects.csv, and so on. Raises
    `SettingError` for a path that must not or can't be written, before the first row is stored: the imported file
    itself, a link, a file that is not a rejects file, a directory, or a file without write permission.
    """
    name = source.stem if source.suffix.lower() == ".csv" else source.name
    path = given or _default_path(name, source)
    if path.exists() and path.samefile(source):
        raise SettingError(f"The rejects would overwrite the imported file {source}: use another --rejects.")
    if why := _unwritable(path):
        raise SettingError(f"The rejects file {str(path)[:200]!r} {why}: use another --rejects.")
    return path


def _default_path(name: str, source: Path) -> Path:
    for number in count(1):
        path = Path(f"{name}.rejects.csv" if number == 1 else f"{name}-{number}.rejects.csv")
        if _unwritable(path) or _imported_file(path) in {None, _file_text(source)}:
            break
    return path


def _imported_file(path: Path) -> str | None:
    """The file whose rejects are in this file; None if there are none, or if an earlier version wrote them;
    empty if it can't be read."""
    try:
        with path.open(encoding="utf-8", errors="replace", newline="") as file:
            return next(csv.DictReader(file)).get("file")
    except (OSError, StopIteration):  # missing or empty
        return None
    except csv.Error:  # a row that csv does not read: it is not known whose rejects they are
        return ""


def _file_text(source: Path) -> str:
    """The absolute path as it is written into the file."""
    return str(source.absolute()).encode("utf-8", "replace").decode()


def _unwritable(path: Path) -> str | None:
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return _unwritable_directory(path.parent)
    except OSError as error:
        return f"can't be used ({error.strerror})"
    if stat.S_ISLNK(mode):
        return "is a link, which is not followed"
    if not stat.S_ISREG(mode):
        return "is not a file"
    if not os.access(path, os.W_OK):
        return "can't be written"
    with path.open("rb") as file:
        start = file.read(len(_FIRST_LINE))
    return None if start in {b"", _FIRST_LINE} else "exists and is not a rejects file of an earlier import"


def _unwritable_directory(directory: Path) -> str | None:
    if not directory.is_dir():
        return "is in a directory that doesn't exist"
    return None if os.access(directory, os.W_OK | os.X_OK) else "is in a directory that can't be written"


class RejectsFile:
    """Writes line, reason, the row as the file has it, and the file. The first reject creates the rejects file.

    Rows are sorted by line within the buffer.

    `delimiter` is that of the imported file `source`: a corrected row can be imported as it is.
    """

    def __init__(self, path: Path, source: Path, delimiter: str = ",") -> None:
        self._path = path
        self._source = _file_text(source)
        self._delimiter = delimiter
        self._file: TextIO | None = None
        self._buffer: list[Reject] = []
        self.count = 0
        self.first: Reject | None = None

    def __enter__(self) -> RejectsFile:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._write()
        if self._file:
            self._file.close()

    def add(self, reject: Reject) -> None:
        """Add a row. It is written at the latest when the context ends. Raises `OSError`."""
        self.count += 1
        if self.first is None or reject.line < self.first.line:
            self.first = reject
        self._buffer.append(reject)
        if len(self._buffer) >= _BUFFERED_ROWS:
            self._write()

    def _write(self) -> None:
        buffered, self._buffer = sorted(self._buffer, key=lambda reject: reject.line), []
        if not buffered:
            return
        is_new = self._file is None
        self._file = self._file or _create(self._path)
        writer: Any = csv.writer(self._file)
        if is_new:
            writer.writerow(_HEADER)
        writer.writerows((reject.line, reject.reason, self._row(reject), self._source) for reject in buffered)

    def _row(self, reject: Reject) -> str:
        """The row as one text, quoted as in the imported file."""
        if isinstance(reject.cells, str):
            return reject.cells
        text = io.StringIO()
        csv.writer(text, delimiter=self._delimiter, lineterminator="").writerow(reject.cells)
        return text.getvalue()


def _create(path: Path) -> TextIO:
    """The truncated file. Links are not followed, in case one was created after the path was checked."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW
    return open(os.open(path, flags, 0o666), "w", encoding="utf-8", errors="replace", newline="")  # noqa: PTH123
