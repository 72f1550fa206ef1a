"""How often a row's content came up in a file so far, in constant memory however long the file is."""

from __future__ import annotations

import sqlite3

_WINDOW = 50_000


class Occurrences:
    """Counts contents by their time and digest.

    Equal rows have the same time, and files are mostly in the order of time: a window of recent rows in memory is
    enough for those. What leaves it goes to a temporary file, which is asked only about times that it holds.
    """

    def __init__(self, window: int = _WINDOW) -> None:
        self._window = window
        self._recent: dict[bytes, int] = {}
        self._low, self._high = 0, -1
        self._newest = self._oldest = 0
        self._file: sqlite3.Connection | None = None

    def count(self, milliseconds: int, digest: bytes) -> int:
        """The number of this occurrence, from 1."""
        recent = self._recent
        if digest in recent:
            recent[digest] += 1
            return recent[digest]
        before = self._stored(digest) if self._low <= milliseconds <= self._high else 0
        if not recent:
            self._oldest = self._newest = milliseconds
        elif milliseconds > self._newest:
            self._newest = milliseconds
        elif milliseconds < self._oldest:
            self._oldest = milliseconds
        recent[digest] = before + 1
        if len(recent) >= self._window:
            self._store()
        return before + 1

    def _stored(self, digest: bytes) -> int:
        assert self._file is not None  # noqa: S101  a time that it holds came from _store
        found = self._file.execute("SELECT count FROM seen WHERE digest = ?", (digest,)).fetchone()
        return int(found[0]) if found else 0

    def _store(self) -> None:
        if self._file is None:
            # An empty name is a file that SQLite removes by itself.
            self._file = sqlite3.connect("")
            self._file.execute("CREATE TABLE seen (digest BLOB PRIMARY KEY, count INTEGER NOT NULL) WITHOUT ROWID")
            self._low, self._high = self._oldest, self._newest
        self._file.executemany("INSERT OR REPLACE INTO seen VALUES (?, ?)", self._recent.items())
        self._file.commit()
        self._low, self._high = min(self._low, self._oldest), max(self._high, self._newest)
        self._recent.clear()
