"""The process's one Reader: found on first use, kept while the settings name the same database."""

from __future__ import annotations

import threading

from tracker.database import embedded
from tracker.database.locate import locate
from tracker.errors import DatabaseError
from tracker.reports.connections import sampler
from tracker.reports.engine.reader import Reader
from tracker.settings import Settings, load

_lock = threading.Lock()
_reader: Reader | None = None
_key: tuple[str | None, str | None] | None = None


def settings() -> Settings:
    """The settings as the environment has them now; what can't be read falls back to its default."""
    return load(strict=False)


def reader() -> Reader:
    """The Reader of the configured database; the embedded one is started and migrated first.

    Raises `SettingError` for a URL that can't be read, `DatabaseError` when the embedded server doesn't start.
    """
    global _reader, _key
    now = settings()
    key = (now.database_url, now.embedded_dir)
    with _lock:
        if _reader is None or key != _key:
            if _reader is not None:
                _reader.close()
            _reader, _key = None, None
            _reader, _key = Reader(locate(now)), key
        return _reader


def check() -> None:
    """Ask the database for the table now; raises unless it answers and all columns are there.

    Where nothing answers, the next question finds the database anew: an embedded server that died is started again.
    """
    try:
        reader().check()
    except DatabaseError as error:
        if error.code == "refused":
            forget()
        raise


def leave() -> None:
    """Close what is open and leave the embedded server; the next `reader` finds or starts it again."""
    forget()
    if settings().database_url is None:
        embedded.stop(settings().embedded_dir)


def forget() -> None:
    """Close what is open; the next `reader` finds the database anew."""
    global _reader, _key
    sampler.forget()
    with _lock:
        if _reader is not None:
            _reader.close()
        _reader, _key = None, None
