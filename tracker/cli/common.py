"""What the commands share: the database they work on, and progress on a terminal."""

from __future__ import annotations

import sys

from tracker import settings
from tracker.database.locate import Database, locate
from tracker.errors import SettingError


def database() -> Database:
    """The database to work on; says so when it is the embedded one. Raises `SettingError`, `DatabaseError`."""
    found = locate(settings.load())
    if found.embedded:
        print(f"DATABASE_URL is not set: using the embedded database in {found.url.host}.", file=sys.stderr)
    return found


def one_line(text: str) -> str:
    """A text as one line; what isn't UTF-8 in a file or an argument is shown as what it is."""
    return " ".join(text.split()).encode("utf-8", "backslashreplace").decode("utf-8")


def zone(name: str) -> str:
    """An IANA time zone's name, checked. Raises `SettingError`."""
    try:
        settings.zone(name)
    except ValueError:
        raise SettingError(
            f"--timezone holds {name[:60]!r}; it may hold an IANA time zone such as Asia/Seoul."
        ) from None
    return name


class Progress:
    """A line that counts up on a terminal, and nothing elsewhere."""

    def __init__(self, what: str) -> None:
        self._what = what
        self._shown = sys.stderr.isatty()

    def show(self, count: int) -> None:
        if self._shown:
            print(f"\r{count:,} {self._what}", end="", file=sys.stderr, flush=True)

    def end(self) -> None:
        if self._shown:
            print(file=sys.stderr)
