"""Counts how often a row's content has occurred in a file, in constant memory for a file of any length."""

from __future__ import annotations

import math
import sqlite3
from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from contextlib import contextmanager

from tracker.errors import TrackerError

_WINDOW = 50_000
_DIGEST, _COUNT = 32, 4


class OccurrenceCounter:
    """Counts contents by time and digest.

    Equal rows have the same time, and most files are sorted by time, so a window of recent rows in memory is enough.
    Rows that leave the window are stored in a temporary file, which is searched only for times that it contains.
    """

    def __init__(self, window: int = _WINDOW) -> None:
        self._window = window
        self._recent: dict[bytes, int] = {}
        self._times: list[int] = []  # the times of the window's rows, in the same order
        self._after, self._before = math.inf, -math.inf  # the file's rows are between these times
        self._file: sqlite3.Connection | None = None

    def count(self, milliseconds: int, digest: bytes) -> int:
        """The number of this occurrence, from 1; `digest` is 32 bytes."""
        recent = self._recent
        if digest in recent:
            recent[digest] += 1
            return recent[digest]
        number = 1 + (self._stored(digest) if self._after < milliseconds < self._before else 0)
        recent[digest] = number
        self._times.append(milliseconds)
        if len(recent) >= self._window:
            with _translated_errors():
                self._shrink()
        return number

    def _shrink(self) -> None:
        """Move all rows but the latest and the earliest to the file: the input continues at one of these ends."""
        ordered = sorted(self._times)
        tenth = len(ordered) // 10
        early, late = ordered[tenth], ordered[-tenth - 1]
        if bisect_left(ordered, late) - bisect_right(ordered, early) < len(ordered) // 2:
            early, late = ordered[0] - 1, ordered[-1] + 1  # many rows have the same time: move all of them
        rows = list(zip(self._recent, self._recent.values(), self._times, strict=True))
        self._store(b"".join(digest + number.to_bytes(_COUNT) for digest, number, time in rows if early < time < late))
        self._recent = {digest: number for digest, number, time in rows if not early < time < late}
        self._times = [time for time in self._times if not early < time < late]
        self._after, self._before = min(self._after, early), max(self._before, late)

    def _store(self, run: bytes) -> None:
        if self._file is None:
            # SQLite deletes a database with an empty name when it is closed.
            self._file = sqlite3.connect("", isolation_level=None)
            self._file.execute("CREATE TABLE runs (run BLOB NOT NULL)")
            self._file.execute("CREATE TABLE counts (digest BLOB PRIMARY KEY, count INTEGER NOT NULL) WITHOUT ROWID")
        self._file.execute("INSERT INTO runs VALUES (?)", (run,))

    def _stored(self, digest: bytes) -> int:
        assert self._file is not None  # noqa: S101  _store created the file before it set the times
        with _translated_errors():
            self._index_runs(self._file)
            row = self._file.execute("SELECT count FROM counts WHERE digest = ?", (digest,)).fetchone()
        return int(row[0]) if row else 0

    @staticmethod
    def _index_runs(file: sqlite3.Connection) -> None:
        """Index the stored runs as rows; never needed for a file that is sorted by time."""
        while row := file.execute("SELECT rowid, run FROM runs ORDER BY rowid LIMIT 1").fetchone():
            number, run = row
            file.execute("BEGIN")
            file.executemany("INSERT OR REPLACE INTO counts VALUES (?, ?)", sorted(_rows(run)))
            file.execute("DELETE FROM runs WHERE rowid = ?", (number,))
            file.execute("COMMIT")


@contextmanager
def _translated_errors() -> Iterator[None]:
    try:
        yield
    except sqlite3.Error:
        raise TrackerError(
            "The import can't write its temporary file: the disk for temporary files is full or read-only."
            " Free some space, or set SQLITE_TMPDIR to a directory with free space; the same command adds the rest."
        ) from None


def _rows(run: bytes) -> Iterator[tuple[bytes, int]]:
    for start in range(0, len(run), _DIGEST + _COUNT):
        end = start + _DIGEST
        yield run[start:end], int.from_bytes(run[end : end + _COUNT])
