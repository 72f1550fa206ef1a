"""The Reader of this process: created on first use, replaced when the settings name another database."""

from __future__ import annotations

import threading
from collections.abc import Callable

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
    """The current settings of the environment; a value that can't be parsed is replaced by its default."""
    return load(strict=False)


def reader() -> Reader:
    """The Reader of the configured database; an embedded server is started and migrated first.

    Raises `SettingError` for a URL that can't be parsed, `DatabaseError` if the embedded server doesn't start.
    """
    global _reader, _key
    current = settings()
    key = (current.database_url, current.embedded_dir)
    with _lock:
        if _reader is None or key != _key:
            if _reader is not None:
                _reader.close()
            _reader, _key = None, None
            _reader, _key = Reader(locate(current)), key
        return _reader


def check() -> None:
    """Query the server for the table; raises unless it responds and all required columns exist.

    If the server refuses the connection, the Reader is closed, and the next call starts an embedded server again.
    """
    _close_if_refused(lambda: reader().check())


def ping() -> None:
    """As `check`, but for the server alone: raises unless it responds."""
    _close_if_refused(lambda: reader().ping())


def _close_if_refused(query: Callable[[], None]) -> None:
    try:
        query()
    except DatabaseError as error:
        if error.code == "refused":
            close()
        raise


def shut_down() -> None:
    """Close the Reader and stop using the embedded server."""
    close()
    if settings().database_url is None:
        embedded.stop(settings().embedded_dir)


def close() -> None:
    """Close the Reader and the sampler; the next call of `reader` creates a new Reader."""
    global _reader, _key
    sampler.stop_shared()
    with _lock:
        if _reader is not None:
            _reader.close()
        _reader, _key = None, None
