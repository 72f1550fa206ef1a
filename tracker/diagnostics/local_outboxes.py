"""Reads the state of the outboxes on this machine: queue depth, oldest record, and whether they are writable."""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tracker.database.url import DatabaseUrl
from tracker.messages import Message, with_messages
from tracker.recording.outbox.paths import (
    UNASSIGNED,
    damaged_files,
    exists,
    fallback_file,
    outbox_directory,
    outbox_file,
    outbox_files,
)
from tracker.settings import Settings

_MAX_FILES = 20


def outbox_state(settings: Settings, url: DatabaseUrl | None, *, now: float) -> Mapping[str, Any]:
    """The outboxes that contain records, and whether this process's outbox is writable. Creates and changes no file."""
    own = outbox_file(settings, url)
    directory = outbox_directory(settings.runtime)
    try:
        candidates = dict.fromkeys([own, fallback_file(own), *list(outbox_files(directory))[:_MAX_FILES]])
        damaged = [str(path) for path in dict.fromkeys([*damaged_files(own), *damaged_files(directory / own.name)])]
    except OSError:
        candidates, damaged = {own: None}, []
    files = [state for path in candidates if exists(path) and (state := _file_state(path, own, now))]
    ages_s = [state["oldestAgeS"] for state in files if state.get("oldestAgeS") is not None]
    return {
        "path": str(own),
        "writable": _is_writable(own),
        "waiting": sum(state.get("waiting", 0) for state in files),
        "setAside": sum(state.get("setAside", 0) for state in files),
        "oldestAgeS": max(ages_s, default=None),
        "files": files,
        "damaged": damaged[:_MAX_FILES],
    }


def _file_state(path: Path, own: Path, now: float) -> dict[str, Any] | None:
    """The state of one outbox; None for another process's empty outbox.

    `unassigned`: its records were queued without a database URL.
    """
    import sqlite3  # here, because some Python builds lack it, and the rest of the report works without it

    try:
        waiting, dead_letters, oldest_at = _read_depth(path)
    except (sqlite3.Error, OSError, TypeError):
        return with_messages({"path": str(path), "own": path == own, "error": Message("diagnostics.outbox_unreadable")})
    if not waiting and not dead_letters and path != own:
        return None
    return {
        "path": str(path),
        "own": path == own,
        "unassigned": path.name in {UNASSIGNED, fallback_file(Path(UNASSIGNED)).name},
        "waiting": waiting,
        "setAside": dead_letters,
        "oldestAt": datetime.fromtimestamp(oldest_at, UTC).isoformat(timespec="seconds") if oldest_at else None,
        "oldestAgeS": round(max(0.0, now - oldest_at)) if oldest_at else None,
    }


def _read_depth(path: Path) -> tuple[int, int, float | None]:
    """Waiting records, dead letters, and the epoch seconds of the oldest record.

    The file is opened read-only: a report must not create or repair an outbox.
    """
    import sqlite3
    from urllib.parse import quote

    database = sqlite3.connect(f"file:{quote(str(path))}?mode=ro", uri=True, timeout=0.2)
    with closing(database):
        query = "SELECT count(*), (SELECT count(*) FROM set_aside), min(queued_at) FROM records"
        depth: tuple[int, int, float | None] = database.execute(query).fetchone()
        return depth


def _is_writable(path: Path) -> bool:
    """Whether the file, or else its nearest existing parent directory, is writable. For root this can be wrong."""
    try:
        existing = path if path.exists() else next(parent for parent in path.parents if parent.exists())
        if existing != path and not existing.is_dir():
            return False
        return os.access(existing, os.W_OK) and (path.exists() or os.access(existing, os.X_OK))
    except OSError:
        return False
