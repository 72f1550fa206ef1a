"""The file of the rows that couldn't be stored, written as they come."""

from __future__ import annotations

import csv
import os
from pathlib import Path
from types import TracebackType
from typing import Any, TextIO

from tracker.errors import SettingError
from tracker.sources.reading import Reject

_HELD = 10_000


def checked(given: Path | None, source: Path) -> Path:
    """Where the rejects of `source` go: NAME.rejects.csv unless told.

    Raises `SettingError` for the file that is being read, whatever its name there, and for a named path at which
    nothing can be written: found before the first row is stored.
    """
    path = given or Path(f"{source.stem}.rejects.csv")
    if path.exists() and path.samefile(source):
        raise SettingError(f"The rejects would overwrite the file that is imported, {source}: name another --rejects.")
    if given and (why := _unwritable(given)):
        raise SettingError(f"--rejects names {str(given)[:200]!r}, {why}.")
    return path


def _unwritable(path: Path) -> str | None:
    if path.is_dir():
        return "which is a directory"
    if not path.exists():
        if not path.parent.is_dir():
            return "whose directory isn't there"
        return None if os.access(path.parent, os.W_OK | os.X_OK) else "in whose directory nothing can be written"
    return None if os.access(path, os.W_OK) else "which can't be written"


class RejectsFile:
    """Line, reason and the row as it came; the file is made for the first reject. Lines of a batch stand in order."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: TextIO | None = None
        self._held: list[Reject] = []
        self.count = 0
        self.first: Reject | None = None

    def __enter__(self) -> RejectsFile:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._write()
        if self._file:
            self._file.close()

    def add(self, reject: Reject) -> None:
        """Take a row; it is in the file at the latest when the block ends. Raises `OSError`."""
        self.count += 1
        if self.first is None or reject.line < self.first.line:
            self.first = reject
        self._held.append(reject)
        if len(self._held) >= _HELD:
            self._write()

    def _write(self) -> None:
        held, self._held = sorted(self._held, key=lambda reject: reject.line), []
        if not held:
            return
        new = self._file is None
        self._file = self._file or self._path.open("w", encoding="utf-8", errors="replace", newline="")
        writer: Any = csv.writer(self._file)
        if new:
            writer.writerow(["line", "reason", "row"])
        # The broken row goes back out as it came, as one CSV text in a cell of its own.
        writer.writerows((reject.line, reject.reason, ",".join(reject.cells)) for reject in held)
