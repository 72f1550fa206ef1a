"""Fixtures of the tests of recording: Trackers in background mode, and their outbox."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tracker import Tracker


@pytest.fixture
def background(new_tracker: Callable[..., Tracker]) -> Callable[..., Tracker]:
    """Makes Trackers in background mode."""
    return lambda **settings: new_tracker(**{"mode": "background", "log_records": False, **settings})


@pytest.fixture
def outbox_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The outbox of every Tracker in this test and in the processes it starts."""
    path = tmp_path / "outbox.db"
    monkeypatch.setenv("TRACKER_OUTBOX", str(path))
    return path
