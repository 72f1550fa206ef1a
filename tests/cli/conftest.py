"""Fixtures of the commands' tests: DATABASE_URL, a file with a call, and an outbox with records."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from faults import Proxy
from support import a_call, eventually

from tracker import Tracker


@pytest.fixture
def at(monkeypatch):
    """Sets DATABASE_URL, and a deadline that keeps failures short."""

    def at(url: str) -> None:
        monkeypatch.setenv("DATABASE_URL", url)
        monkeypatch.setenv("TRACKER_DEADLINE_S", "0.5")
        monkeypatch.setenv("TRACKER_CONNECT_TIMEOUT_S", "2")

    return at


@pytest.fixture
def calls(tmp_path) -> str:
    """A file with one call."""
    path = tmp_path / "calls.csv"
    path.write_text("created_at,model,input_tokens,output_tokens\n2026-03-01T10:00:00Z,gpt,10,5\n")
    return str(path)


@pytest.fixture
def left_behind(proxy: Proxy, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """Queues records as a process does whose database can't be reached, and names their outbox."""

    def leave(*usages, **settings) -> Path:
        proxy.swallow = True
        recorder = Tracker(
            **{"database_url": proxy.url, "mode": "background", "deadline_s": 0.3, "log_records": False, **settings}
        )
        for usage in usages or (a_call(), a_call(), a_call()):
            assert recorder.record(usage).status == "queued"
        recorder.close()
        eventually(lambda: not recorder._queue._worker._thread.is_alive())  # its last round is over
        proxy.swallow = False
        monkeypatch.setenv("DATABASE_URL", proxy.url)
        return recorder._queue.outbox.path

    return leave
