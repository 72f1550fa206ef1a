"""Fixtures of the tests of recording: Trackers in background mode with their outbox, and outboxes of their own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import pytest

from tracker import Tracker
from tracker.recording.outbox.store import Outbox


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


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """The file of `new_outbox`, in a directory that doesn't exist yet."""
    return tmp_path / "state" / "outbox.db"


@pytest.fixture
def new_outbox(path: Path) -> Iterator[Callable[..., Outbox]]:
    """Opens outboxes, by default of one file; they are closed after the test."""
    with ExitStack() as stack:
        yield lambda place=path, **options: stack.enter_context(closing(Outbox(place, **options)))
