"""A running dashboard for the tests of captures and of instrumentations."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from typing import Any

import psycopg2
import pytest
from psycopg2.extras import RealDictCursor
from replay import COLUMNS
from support import ROOT, run, with_database

sys.path.append(str(ROOT / "tests" / "dashboard"))
from dashboard_support import Server, start_server

TOKEN = "a-token-of-the-tests"


@dataclass(frozen=True)
class Dashboard:
    """A dashboard process, and the database that it writes to."""

    server: Server
    database_url: str

    @property
    def endpoint(self) -> str:
        return self.server.url + "/v1/traces"

    @property
    def headers(self) -> dict[str, str]:
        return {"authorization": f"Bearer {TOKEN}"}

    def rows(self, start_s: float, end_s: float) -> list[dict[str, Any]]:
        """The rows of calls that ended between two times, in the order of their ends."""
        question = f"SELECT {', '.join(COLUMNS)} FROM token_usage WHERE created_at BETWEEN to_timestamp(%s) AND to_timestamp(%s)"
        with closing(psycopg2.connect(self.database_url)) as connection:
            with connection.cursor(cursor_factory=RealDictCursor) as cursor:
                cursor.execute(f"{question} ORDER BY created_at", (start_s, end_s))
                return [dict(row) for row in cursor.fetchall()]


@pytest.fixture(scope="session")
def dashboard(
    server_url: str, template: str, copying: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Dashboard]:
    """One dashboard for all captures: each replay has trace ids and times of its own."""
    name = f"tracker_captures_{os.getpid()}"
    run(server_url, f"CREATE DATABASE {name} TEMPLATE {template} {copying}")
    url = with_database(server_url, name)
    outbox = tmp_path_factory.mktemp("captures") / "outbox.db"
    server = start_server({"DATABASE_URL": url, "TRACKER_DEBUG_TOKEN": TOKEN, "TRACKER_OUTBOX": str(outbox)})
    try:
        yield Dashboard(server, url)
    finally:
        server.process.terminate()
        server.process.wait(timeout=20)
        run(server_url, f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")


@pytest.fixture(scope="session")
def next_window_s() -> Callable[[float], float]:
    """Gives each replay a span of time that no other one has, going back from a minute ago."""
    import time

    ends = [time.time() - 60]

    def take(duration_s: float) -> float:
        ends[0] -= duration_s + 5
        return ends[0]

    return take


