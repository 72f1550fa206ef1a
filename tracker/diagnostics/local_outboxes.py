"""What this machine holds: the outboxes, how much waits in them, and whether they can be written."""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tracker.database.url import DatabaseUrl
from tracker.recording.outbox.paths import (
    damaged_files,
    exists,
    fallback_file,
    outbox_directory,
    outbox_file,
    outbox_files,
)
from tracker.settings import Settings

_MOST_FILES = 20


def outbox_state(settings: Settings, url: DatabaseUrl | None, *, now: float) -> Mapping[str, Any]:
    """Every outbox that holds records, and whether our own can be written; nothing is made or changed."""
    own = outbox_file(settings, url)
    directory = outbox_directory(settings.runtime)
    try:
        candidates = dict.fromkeys([own, fallback_file(own), *list(outbox_files(directory))[:_MOST_FILES]])
        damaged = [str(path) for path in dict.fromkeys([*damaged_files(own), *damaged_files(directory / own.name)])]
    except OSError:
        candidates, damaged = {own: None}, []
    files = [found for path in candidates if exists(path) and (found := _file(path, own, now))]
    oldest = [found["oldestAgeS"] for found in files if found.get("oldestAgeS") is not None]
    return {
        "path": str(own),
        "writable": _writable(own),
        "waiting": sum(found.get("waiting", 0) for found in files),
        "setAside": sum(found.get("setAside", 0) for found in files),
        "oldestAgeS": max(oldest, default=None),
        "files": files,
        "damaged": damaged[:_MOST_FILES],
    }


def _file(path: Path, own: Path, now: float) -> dict[str, Any] | None:
    import sqlite3

    try:
        waiting, set_aside, oldest_at = _depth(path)
    except (sqlite3.Error, OSError, TypeError):
        return {"path": str(path), "own": path == own, "error": "It can't be read: damaged, locked or closed to us."}
    if not waiting and not set_aside and path != own:
        return None
    return {
        "path": str(path),
        "own": path == own,
        "waiting": waiting,
        "setAside": set_aside,
        "oldestAt": datetime.fromtimestamp(oldest_at, UTC).isoformat(timespec="seconds") if oldest_at else None,
        "oldestAgeS": round(max(0.0, now - oldest_at)) if oldest_at else None,
    }


def _depth(path: Path) -> tuple[int, int, float | None]:
    """How much lies in an outbox, read without a right to change it: a report must not mend or make anything."""
    import sqlite3
    from urllib.parse import quote

    database = sqlite3.connect(f"file:{quote(str(path))}?mode=ro", uri=True, timeout=0.2)
    with closing(database):
        question = "SELECT count(*), (SELECT count(*) FROM set_aside), min(queued_at) FROM records"
        found: tuple[int, int, float | None] = database.execute(question).fetchone()
        return found


def _writable(path: Path) -> bool:
    """Whether the file, or the nearest directory above it that exists, can be written; root may be told yes wrongly."""
    try:
        place = path if path.exists() else next(parent for parent in path.parents if parent.exists())
        if place != path and not place.is_dir():
            return False
        return os.access(place, os.W_OK) and (path.exists() or os.access(place, os.X_OK))
    except OSError:
        return False
