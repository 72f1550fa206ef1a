"""The pictures of the README and docs/dashboard.md: `python -m tests.screenshots [--data FILE.csv] [--all DIRECTORY]`.

The pictures show a dashboard of their own, on an embedded database that is removed afterwards, with the calls of a CSV
(columns TIMESTAMP, ContextTokens, GeneratedTokens, such as the Azure LLM inference trace 2023) or with the sample data.
`--all` writes every page in both themes, widths, and languages to a directory instead, to compare two versions. With
`--url`, they show a running dashboard, and `--pages overview,calls` limits them to these pages.
"""

from __future__ import annotations

import argparse
import csv
import itertools
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parent / "dashboard")]

from dashboard_support import PAGES, open_browser, open_page, start_command
from playwright.sync_api import Browser, Page
from support import ROOT, python

ZONE = "Asia/Seoul"
WIDTHS = {"wide": (1440, 900), "phone": (390, 844)}
THEMES, LOCALES = ("light", "dark"), ("en-US", "ko-KR")
MAX_HEIGHT_PX = 4000
_IS_DRAWN = """() => document.querySelector('[data-testid="stApp"]').dataset.testScriptState === "notRunning"
  && !document.querySelector('[data-stale="true"], [data-testid="stSkeleton"]')
  && [...document.querySelectorAll(".tracker-chart-plot")].every((plot) => plot.querySelector(".main-svg"))"""


@dataclass(frozen=True, slots=True)
class Look:
    """How a page is shown. `whole` is the page from top to bottom, else its first screen."""

    theme: str = "light"
    locale: str = "en-US"
    width: str = "wide"
    whole: bool = False


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="a CSV of calls; without it, the sample data")
    parser.add_argument("--all", type=Path, metavar="DIRECTORY", help="write all pages in all looks to this directory")
    parser.add_argument("--pages", help="names of pages, separated by commas; without it, all pages")
    parser.add_argument("--url", help="the address of a running dashboard; without it, one is started")
    arguments = parser.parse_args()
    view = f"range={first_day(arguments.data)}" if arguments.data else "range=30d"
    with dashboard(arguments.data, arguments.url) as url, open_browser() as browser:
        if arguments.all:
            names = arguments.pages.split(",") if arguments.pages else [page or "overview" for page in PAGES]
            take_all(browser, url, arguments.all, names, view)
        else:
            for theme, suffix in zip(THEMES, ("", "-dark"), strict=True):
                take(browser, address(url, "overview", view), ROOT / "docs" / f"overview{suffix}.png", Look(theme))


def first_day(data: Path) -> str:
    """The day of the first call in the time zone of the pictures."""
    with data.open(encoding="utf-8", newline="") as file:
        first = next(csv.DictReader(file))["TIMESTAMP"][:19]
    at = datetime.fromisoformat(first).replace(tzinfo=UTC)
    return at.astimezone(ZoneInfo(ZONE)).date().isoformat()


def address(url: str, page: str, view: str) -> str:
    """The address of a page with the range of the pictures."""
    return f"{url}/{'' if page == 'overview' else page}?{view}"


def take_all(browser: Browser, url: str, directory: Path, names: list[str], view: str) -> None:
    """Write a picture of each page in each look."""
    directory.mkdir(parents=True, exist_ok=True)
    for name, width, theme, locale in itertools.product(names, WIDTHS, THEMES, LOCALES):
        file = directory / f"{name}-{width}-{theme}-{locale[:2]}.png"
        take(browser, address(url, name, view), file, Look(theme, locale, width, whole=True))


def take(browser: Browser, url: str, file: Path, look: Look) -> None:
    """Write one picture after everything is drawn."""
    width, height = WIDTHS[look.width]
    page = browser.new_page(
        viewport={"width": width, "height": height},
        color_scheme=look.theme,  # type: ignore[arg-type]
        locale=look.locale,
        timezone_id=ZONE,
        device_scale_factor=1,
    )
    open_page(page, url)
    wait_until_drawn(page)
    if look.whole:
        height = page.evaluate("document.querySelector('[data-testid=stMain]').scrollHeight")
        page.set_viewport_size({"width": width, "height": min(int(height) + 10, MAX_HEIGHT_PX)})
        wait_until_drawn(page)
    page.screenshot(path=str(file))
    page.close()


def wait_until_drawn(page: Page) -> None:
    """Wait until the page ran to its end, the charts are drawn, and nothing moves."""
    page.wait_for_load_state("networkidle")
    page.wait_for_function(_IS_DRAWN, timeout=60_000)
    time.sleep(1.5)


@contextmanager
def dashboard(data: Path | None, url: str | None) -> Iterator[str]:
    """The address of a dashboard with calls, and with records of the last minutes."""
    if url is not None:
        yield url.rstrip("/")
        return
    directory = Path(tempfile.mkdtemp(prefix="tracker-shots-"))
    env = {"TRACKER_EMBEDDED_DIR": str(directory / "db"), "XDG_STATE_HOME": str(directory), "DATABASE_URL": ""}
    server = start_command(env)
    try:
        if data is None:
            python("-m", "tracker", "sample-data", env=env)  # with a previous period
        else:
            mapping = ["created_at=TIMESTAMP", "input_tokens=ContextTokens", "output_tokens=GeneratedTokens"]
            maps = [word for pair in mapping for word in ("--map", pair)]
            python(
                "-m", "tracker", "import", str(data), *maps, "--set", "model=gpt-4", "--set", "operation=chat", env=env
            )
        python("-c", _RECORD, env=env)
        python("-m", "tracker", "reprice", env=env)
        yield server.url
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
                                   operation="summary_generation", user_id=f"user_{number % 9:02}", cost="0.0006",
                                   processing_time=640 + 37 * (number % 31)))
"""

if __name__ == "__main__":
    main()
