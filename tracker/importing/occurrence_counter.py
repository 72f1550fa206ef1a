"""How often a row's content came up in a file so far, in constant memory however long the file is."""

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
    """Counts contents by their time and digest.

    Equal rows have the same time, and files are mostly in the order of time: a window of recent rows in memory is
    enough for those. What leaves it goes to a temporary file, which is looked through only for times that it holds.
    """

    def __init__(self, window: int = _WINDOW) -> None:
        self._window = window
        self._recent: dict[bytes, int] = {}
        self._times: list[int] = []  # of those in the window, in its order
        self._after, self._before = math.inf, -math.inf  # what is stored lies between these times
        self._file: sqlite3.Connection | None = None

    def count(self, milliseconds: int, digest: bytes) -> int:
        """The number of this occurrence, from 1; a digest is 32 bytes."""
        recent = self._recent
        if digest in recent:
            recent[digest] += 1
            return recent[digest]
        number = 1 + (self._stored(digest) if self._after < milliseconds < self._before else 0)
        recent[digest] = number
        self._times.append(milliseconds)
        if len(recent) >= self._window:
            with _sentence():
                self._shrink()
        return number

    def _shrink(self) -> None:
        """Store all but the latest and the earliest: at one of those ends the file goes on."""
        ordered = sorted(self._times)
        tenth = len(ordered) // 10
        early, late = ordered[tenth], ordered[-tenth - 1]
        if bisect_left(ordered, late) - bisect_right(ordered, early) < len(ordered) // 2:
            early, late = ordered[0] - 1, ordered[-1] + 1  # many have the same time: all of them go
        rows = list(zip(self._recent, self._recent.values(), self._times, strict=True))
        self._store(b"".join(digest + number.to_bytes(_COUNT) for digest, number, time in rows if early < time < late))
        self._recent = {digest: number for digest, number, time in rows if not early < time < late}
        self._times = [time for time in self._times if not early < time < late]
        self._after, self._before = min(self._after, early), max(self._before, late)

    def _store(self, run: bytes) -> None:
        if self._file is None:
            # An empty name is a file that SQLite removes by itself.
            self._file = sqlite3.connect("", isolation_level=None)
            self._file.execute("CREATE TABLE runs (run BLOB NOT NULL)")
            self._file.execute("CREATE TABLE seen (digest BLOB PRIMARY KEY, count INTEGER NOT NULL) WITHOUT ROWID")
        self._file.execute("INSERT INTO runs VALUES (?)", (run,))

    def _stored(self, digest: bytes) -> int:
        assert self._file is not None  # noqa: S101  a time that it holds came from _store
        with _sentence():
            self._sort_in(self._file)
            found = self._file.execute("SELECT count FROM seen WHERE digest = ?", (digest,)).fetchone()
        return int(found[0]) if found else 0

    @staticmethod
    def _sort_in(file: sqlite3.Connection) -> None:
        """Make rows of what was stored: a file in the order of time, the usual one, never gets here."""
        while found := file.execute("SELECT rowid, run FROM runs ORDER BY rowid LIMIT 1").fetchone():
            number, run = found
            file.execute("BEGIN")
            file.executemany("INSERT OR REPLACE INTO seen VALUES (?, ?)", sorted(_rows(run)))
            file.execute("DELETE FROM runs WHERE rowid = ?", (number,))
            file.execute("COMMIT")


@contextmanager
def _sentence() -> Iterator[None]:
    try:
        yield
    except sqlite3.Error:
        raise TrackerError(
            "The import can't write its temporary file: the disk for temporary files is full or refuses. Make room, or"
            " set SQLITE_TMPDIR to a directory with room; the same command adds the rest."
        ) from None


def _rows(run: bytes) -> Iterator[tuple[bytes, int]]:
    for place in range(0, len(run), _DIGEST + _COUNT):
        end = place + _DIGEST
        yield run[place:end], int.from_bytes(run[end : end + _COUNT])
