"""Checks whether a file is an outbox without changing it, because it may belong to another program."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from tracker.errors import OutboxError
from tracker.recording.outbox.paths import DAMAGED, exists
from tracker.recording.outbox.salvage import salvage
from tracker.recording.outbox.sqlite_file import APPLICATION_ID, TABLES

# sqlite.org, "Database File Format": 1.3 (the header), 4.1 (the write-ahead log).
_MAGIC = b"SQLite format 3\0"
_APPLICATION_ID_AT, _HEADER_BYTES = 68, 100
_LOG_HEADER_BYTES, _FRAME_HEADER_BYTES = 32, 24


def require_outbox(path: Path) -> None:
    """Raises `OutboxError` for anything but an outbox. Call it before this process opens a connection.

    SQLite would turn an empty file into a database, and would write the log of a foreign database into it.
    """
    if path.is_dir():
        raise _refused(path, "is a directory")
    if not path.is_file():
        raise _refused(path, "is no regular file")
    try:
        if path.stat().st_size == 0:
            raise _refused(path, "is empty")
        if DAMAGED in path.name:
            if not any(salvage(path)):
                raise _refused(path, "contains no record that can be read")
        elif not _is_outbox(path):
            raise _refused(path, "is no outbox")
    except OSError as error:
        raise OutboxError(
            "outbox_unreadable", f"The file {path} can't be read: {error.strerror}. Check the disk and its rights."
        ) from None


def _is_outbox(path: Path) -> bool:
    with path.open("rb") as file:
        header = file.read(_HEADER_BYTES)
    if not header.startswith(_MAGIC):
        # An outbox whose header is damaged: its records are salvaged.
        return exists(Path(f"{path}.lock")) and bool(any(salvage(path)))
    if any(_has_application_id(page) for page in (header, *_first_pages(path))):
        return True
    return _tables(path) >= TABLES


def _has_application_id(page: bytes) -> bool:
    return int.from_bytes(page[_APPLICATION_ID_AT : _APPLICATION_ID_AT + 4], "big") == APPLICATION_ID


def _first_pages(path: Path) -> Iterator[bytes]:
    """Each version of the file's first page in its write-ahead log."""
    log_path = Path(f"{path}-wal")
    if not exists(log_path):
        return
    with log_path.open("rb") as log:
        page_bytes = int.from_bytes(log.read(_LOG_HEADER_BYTES)[8:12], "big")
        while page_bytes and len(frame := log.read(_FRAME_HEADER_BYTES + page_bytes)) > _FRAME_HEADER_BYTES:
            if int.from_bytes(frame[:4], "big") == 1:
                yield frame[_FRAME_HEADER_BYTES:]


def _tables(path: Path) -> set[str]:
    """The tables of a database, to detect an outbox of a version that wrote no id; empty if they can't be read."""
    import sqlite3  # imported here because a Python without it has no outbox

    try:
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro&immutable=1", uri=True)) as database:
            return {name for (name,) in database.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")}
    except sqlite3.Error:
        return set()


def _refused(path: Path, what: str) -> OutboxError:
    return OutboxError(
        "outbox_foreign",
        f"The file {path} {what}, so nothing was delivered from it, and it was left unchanged. Name an outbox:"
        " token-tracker outbox list.",
    )
