"""Fixtures: pages under AppTest, dashboard processes, and pages in a browser."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Iterator

import psycopg2
import pytest
from apptest_support import share_component_scan
from dashboard_support import Execute, Server, needed_browser, start_command, start_server, texts
from dashboard_support import open_page as load_page
from playwright.sync_api import Browser, Page
from streamlit.testing.v1 import AppTest
from support import ROOT, connect, python, run, with_database
from tabs import Tabs, running_loop, running_tabs

from pages.support import ttl_cache
from tracker.database.migrate import migrate
from tracker.recording import tracker as tracker_module
from tracker.reports.engine import current_reader

share_component_scan()


@pytest.fixture(autouse=True)
def fresh_process(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Each test has its own Reader, shared Tracker and cache of page values."""
    monkeypatch.setattr(tracker_module, "_shared", None)
    ttl_cache.clear()
    yield
    current_reader.close()


@pytest.fixture(scope="session")
def chromium() -> Iterator[tuple[Tabs, asyncio.AbstractEventLoop | None]]:
    """Chromium's tabs for all tests of a process, and Playwright's event loop, which counts as running in tests."""
    loop = None
    try:
        with needed_browser() as opened, running_tabs(opened) as tabs:
            loop = asyncio._get_running_loop()
            asyncio._set_running_loop(None)
            yield tabs, loop
            asyncio._set_running_loop(loop)
    finally:
        asyncio._set_running_loop(None)


@pytest.fixture
def tabs(chromium: tuple[Tabs, asyncio.AbstractEventLoop | None]) -> Iterator[Tabs]:
    """Opens tabs of the shared Chromium. No other event loop can run in this thread during the test."""
    opened, loop = chromium
    with running_loop(loop):
        yield opened
        opened.release()


@pytest.fixture
def browser(tabs: Tabs) -> Browser:
    """The shared Chromium, for a test that needs a new context; its contexts are closed after the test."""
    return tabs.browser


@pytest.fixture
def open_page(monkeypatch: pytest.MonkeyPatch) -> Callable[..., AppTest]:
    """Opens a page for a user in Seoul, and checks that no unexpected error occurred."""

    def open_it(url: str, page: str | None = None, **query: str) -> AppTest:
        monkeypatch.setenv("DATABASE_URL", url)
        app = AppTest.from_file(str(ROOT / "pages" / "shell.py"), default_timeout=30)
        app.context = {"timezone": "Asia/Seoul", "locale": "en-US"}
        for name, value in query.items():
            app.query_params[name] = value
        if page:
            app.switch_page(page)  # before the first run: a direct link
        app.run()
        assert not app.exception
        assert "An unexpected error occurred" not in texts(app)
        return app

    return open_it


@pytest.fixture
def call(connection: psycopg2.extensions.connection) -> Execute:
    """Inserts a call; column names are the keywords."""

    def insert(**columns: object) -> None:
        row = {"model": "gemini-2.5-flash", "input_tokens": 100, "output_tokens": 20, **columns}
        row.setdefault("total_tokens", int(str(row["input_tokens"])) + int(str(row["output_tokens"])))
        names = ", ".join(row)
        with connection.cursor() as cursor:
            cursor.execute(
                f"INSERT INTO token_usage ({names}) VALUES ({', '.join(['%s'] * len(row))})", list(row.values())
            )

    return insert


@pytest.fixture
def start_dashboard() -> Iterator[Callable[..., Server]]:
    """Starts the dashboard on a database in a new process; with `command=True` by `streamlit run`."""
    started: list[Server] = []

    def start(url: str, *, command: bool = False, **env: str) -> Server:
        started.append((start_command if command else start_server)({"DATABASE_URL": url, **env}))
        return started[-1]

    yield start
    for server in started:
        server.process.terminate()
        server.process.wait(timeout=20)


@pytest.fixture(scope="session")
def sample_url(server_url: str) -> Iterator[str]:
    """A database with sample calls and a few recordings, for all tests of a process."""
    name = f"tracker_browser_{os.getpid()}"
    run(server_url, f"DROP DATABASE IF EXISTS {name}", f"CREATE DATABASE {name}")
    url = with_database(server_url, name)
    migrate(lambda: connect(url))
    assert python("-m", "tracker", "sample-data", "--days", "10", env={"DATABASE_URL": url}).returncode == 0
    yield url
    run(server_url, f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")


@pytest.fixture(scope="session")
def server(sample_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A dashboard of the sample calls, for all tests of a process."""
    env = {"DATABASE_URL": sample_url, "XDG_STATE_HOME": str(tmp_path_factory.mktemp("home"))}
    started = start_server({**env, "GEMINI_API_KEY": "", "VERCEL": "", "NODE_ENV": ""})
    yield started
    started.process.terminate()
    started.process.wait(timeout=20)


@pytest.fixture
def visit(server: Server, tabs: Tabs) -> Iterator[Callable[..., Page]]:
    """Opens a path, by default as a reader in Seoul who reads English."""

    def open_it(path: str = "", **context: object) -> Page:
        page = tabs.open(**{"timezone_id": "Asia/Seoul", "locale": "en-US", **context})
        load_page(page, f"{server.url}/{path}")
        return page

    yield open_it
    assert server.unforeseen() == ""
