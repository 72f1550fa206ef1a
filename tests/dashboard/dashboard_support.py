"""Helpers of the dashboard's tests: text of a page, dashboard processes, and browsers."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from dashboard_forks import DashboardFork
from playwright.sync_api import Browser, Error, Locator, Page, expect, sync_playwright
from streamlit.testing.v1 import AppTest
from support import ROOT, child_environment

Execute = Callable[..., None]
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
READY = '[data-testid="stApp"][data-test-script-state="notRunning"][data-test-connection-state="CONNECTED"]'
PAGES = (
    "",
    "explorer",
    "latency",
    "calls",
    "ai_sessions",
    "what_if",
    "connections",
    "performance",
    "environment",
    "prices",
    "recordings",
)
OpenPage = Callable[..., AppTest]
# Long, because a busy machine is slow.
expect.set_options(timeout=30_000)


def texts(app: AppTest) -> str:
    """All text and Markdown of the page."""
    kinds = ("text", "markdown", "caption", "subheader", "title", "success", "warning", "error", "code")
    return "\n".join(str(getattr(element, "value", "")) for kind in kinds for element in app.get(kind))


def figures(app: AppTest) -> dict[str, str]:
    """The page's metrics by their labels."""
    return {metric.label: metric.value for metric in app.metric}


class Server:
    """A dashboard process."""

    def __init__(self, process: subprocess.Popen[bytes] | DashboardFork, port: int) -> None:
        self.process = process
        self.url = f"http://127.0.0.1:{port}"
        self._log: list[str] = []
        threading.Thread(target=self._listen, name="dashboard-log", daemon=True).start()

    def _listen(self) -> None:
        assert self.process.stderr
        with self.process.stderr as log:
            for line in log:
                self._log.append(line.decode(errors="replace"))

    def unforeseen(self) -> str:
        """The new log text since the last call, if it contains an unexpected error."""
        new, self._log = "".join(self._log), []
        return new if "Reference" in new or "Traceback" in new else ""

    def get(self, path: str, method: str = "GET") -> tuple[int, str]:
        request = urllib.request.Request(self.url + path, method=method)
        try:
            with urllib.request.urlopen(request, timeout=20) as response:
                return response.status, response.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode()


def free_port() -> int:
    """A free port."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def start_command(env: Mapping[str, str], *arguments: str) -> Server:
    """Start `streamlit run dashboard.py` and wait for it; `_PORT`, `_SCRIPT` and `_BASE` override defaults."""
    port, command, environment, base = _command(env, arguments)
    return start_process([sys.executable, "-m", "streamlit", *command], port, environment, base=base)


def start_server(env: Mapping[str, str], *arguments: str) -> Server:
    """The same in a fork of a process that has imported Streamlit and the pages' modules, which is much faster."""
    port, command, environment, base = _command(env, arguments)
    return _wait_until_up(Server(DashboardFork(command, environment), port), base)


def _command(env: Mapping[str, str], arguments: tuple[str, ...]) -> tuple[int, list[str], dict[str, str], str]:
    """A port, the arguments of `streamlit`, the environment, and the base path."""
    env = dict(env)
    port = int(env.pop("_PORT", 0)) or free_port()
    script = env.pop("_SCRIPT", "dashboard.py")
    base = env.pop("_BASE", "")
    if base:
        arguments = (*arguments, "--server.baseUrlPath", base)
    return port, ["run", script, "--server.port", str(port), *arguments], child_environment(env), base


def start_process(
    command: Sequence[str], port: int, env: Mapping[str, str], *, directory: Path = ROOT, base: str = ""
) -> Server:
    """Start a dashboard with a command and wait for it."""
    process = subprocess.Popen(command, cwd=directory, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    return _wait_until_up(Server(process, port), base)


def _wait_until_up(server: Server, base: str) -> Server:
    ends = time.monotonic() + 60
    while time.monotonic() < ends:
        assert server.process.poll() is None, "the dashboard ended by itself"
        try:
            if server.get(f"{base}/_stcore/health")[0] == 200:
                return server
        except OSError:
            time.sleep(0.05)
    raise AssertionError("the dashboard didn't come up in a minute")


@contextmanager
def open_browser() -> Iterator[Browser]:
    """The system's Chromium."""
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield opened
        opened.close()


@contextmanager
def needed_browser() -> Iterator[Browser]:
    """Chromium for a test. Without Chromium, the test is skipped, but fails in CI."""
    if CHROMIUM is None:
        if os.environ.get("CI") == "true":
            pytest.fail("the browser tests need Chromium, and CI must run them")
        pytest.skip("the browser tests need Chromium, and there is none on the path")
    with open_browser() as opened:
        yield opened


def open_page(page: Page, url: str) -> None:
    """Open an address and wait until the page is drawn."""
    try:
        page.goto(url)
    except Error:  # a download or a reload by the page interrupted it
        with suppress(Error):
            page.goto(url)
    page.wait_for_selector(READY, timeout=60_000)


def metric(page: Page, label: str) -> Locator:
    """A metric by its label."""
    return page.get_by_test_id("stMetric").filter(has_text=label)
