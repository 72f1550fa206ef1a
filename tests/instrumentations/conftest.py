"""A running dashboard for the tests of captures and of instrumentations."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator

import pytest
from replay import Dashboard
from support import ROOT, run, with_database

sys.path.append(str(ROOT / "tests" / "dashboard"))
from dashboard_support import start_server


@pytest.fixture(scope="session")
def dashboard(
    server_url: str, template: str, copying: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Dashboard]:
    """One dashboard for all captures: each replay has trace ids and times of its own."""
    name = f"tracker_captures_{os.getpid()}"
    run(server_url, f"CREATE DATABASE {name} TEMPLATE {template} {copying}")
    url = with_database(server_url, name)
    outbox = tmp_path_factory.mktemp("captures") / "outbox.db"
    # On a local runtime without a token, spans from this machine are accepted.
    server = start_server({"DATABASE_URL": url, "TRACKER_PLATFORM": "local", "TRACKER_OUTBOX": str(outbox)})
    try:
        yield Dashboard(server.url, url)
    finally:
        server.process.terminate()
        server.process.wait(timeout=20)
        run(server_url, f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")


@pytest.fixture(scope="session")
def next_window_s() -> Callable[[float], float]:
    """Gives each replay a span of time that no other one has, going back from an hour ago: live calls are later."""
    ends = [time.time() - 3600]

    def take(duration_s: float) -> float:
        ends[0] -= duration_s + 5
        return ends[0]

    return take
