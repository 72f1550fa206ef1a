"""The README's picture, light and dark: `python -m tests.screenshots [--data FILE.csv] [--all DIRECTORY]`.

They show a dashboard of their own, on an embedded database that is gone afterwards, with the calls of a CSV (columns
TIMESTAMP, ContextTokens, GeneratedTokens, such as the Azure LLM inference trace 2023) or with the sample data. `--all`
takes every page, wide and on a phone, light and dark, in both languages, to be looked at.
"""

from __future__ import annotations

import argparse
import csv
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parent / "dashboard")]

from dashboard_support import Server, open_browser, open_page, start_command
from playwright.sync_api import Browser, Page
from support import ROOT, python

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
ZONE = "Asia/Seoul"
WIDE, PHONE = (1440, 900), (390, 844)
SHOWN = {"overview": ""}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, help="a CSV of calls; the sample data unless given")
    parser.add_argument("--all", type=Path, metavar="DIRECTORY", help="every page in every look, into this directory")
    arguments = parser.parse_args()
    with dashboard(arguments.data) as server, open_browser() as browser:
        view = f"range={first_day(arguments.data)}" if arguments.data else "range=30d"
        if arguments.all:
            every_look(browser, server, arguments.all, view)
        else:
            for name, path in SHOWN.items():
                for theme in ("light", "dark"):
                    suffix = "" if theme == "light" else "-dark"
                    take(browser, server, path, ROOT / "docs" / f"{name}{suffix}.png", WIDE, theme, "en-US", view)


def first_day(data: Path) -> str:
    """The day of the first call, which is UTC, as the pictures' reader counts it."""
    with data.open(encoding="utf-8", newline="") as file:
        first = next(csv.DictReader(file))["TIMESTAMP"][:19]
    moment = datetime.fromisoformat(first).replace(tzinfo=UTC)
    return moment.astimezone(ZoneInfo(ZONE)).date().isoformat()


def every_look(browser: Browser, server: Server, directory: Path, view: str) -> None:
    directory.mkdir(parents=True, exist_ok=True)
    for page in PAGES:
        for label, size in (("wide", WIDE), ("phone", PHONE)):
            for theme, locale in (("light", "en-US"), ("dark", "ko-KR")):
                file = directory / f"{page or 'overview'}-{label}-{theme}-{locale[:2]}.png"
                take(browser, server, page, file, size, theme, locale, view, whole=True)


def take(
    browser: Browser,
    server: Server,
    path: str,
    file: Path,
    size: tuple[int, int],
    theme: str,
    locale: str,
    view: str,
    *,
    whole: bool = False,
) -> None:
    """One picture, once everything is drawn and has come to rest; `whole` is the page to its very end."""
    page = browser.new_page(
        viewport={"width": size[0], "height": size[1]},
        color_scheme=theme,  # type: ignore[arg-type]
        locale=locale,
        timezone_id=ZONE,
        device_scale_factor=1,
    )
    join = "&" if "?" in path else "?"
    open_page(page, f"{server.url}/{path}{join}{view}")
    rest(page)
    if whole:
        height = page.evaluate("document.querySelector('[data-testid=stMain]').scrollHeight")
        page.set_viewport_size({"width": size[0], "height": min(int(height) + 10, 4000)})
        rest(page)
    page.screenshot(path=str(file))
    page.close()


def rest(page: Page) -> None:
    """Wait until the charts have been drawn and nothing moves."""
    page.wait_for_load_state("networkidle")
    time.sleep(1.5)


@contextmanager
def dashboard(data: Path | None) -> Iterator[Server]:
    """A dashboard with calls to show, and what a Tracker recorded of late."""
    directory = Path(tempfile.mkdtemp(prefix="tracker-shots-"))
    env = {"TRACKER_EMBEDDED_DIR": str(directory / "db"), "XDG_STATE_HOME": str(directory), "DATABASE_URL": ""}
    server = start_command(env)
    try:
        if data is None:
            python("-m", "tracker", "sample-data", env=env)  # with a period before
        else:
            mapping = ["created_at=TIMESTAMP", "input_tokens=ContextTokens", "output_tokens=GeneratedTokens"]
            maps = [word for pair in mapping for word in ("--map", pair)]
            python(
                "-m", "tracker", "import", str(data), *maps, "--set", "model=gpt-4", "--set", "operation=chat", env=env
            )
        python("-c", _RECORD, env=env)
        python("-m", "tracker", "reprice", env=env)
        yield server
    finally:
        server.process.terminate()
        server.process.wait(timeout=30)
        shutil.rmtree(directory, ignore_errors=True)


_RECORD = """
from tracker import Tracker, TokenUsage
from tracker.database.locate import locate
from tracker.settings import load
with Tracker(mode="direct", database_url=locate(load()).url.with_password()) as recorder:
    for number in range(120):
        recorder.record(TokenUsage(model="gemini-2.5-flash", provider="google", input_tokens=812, output_tokens=164,
                                   operation="summary_generation", user_id=f"user_{number % 9:02}", cost="0.0006"))
"""

if __name__ == "__main__":
    main()
