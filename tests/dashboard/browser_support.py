"""Shared by the tests of the pages in a real browser: waiting, the address bar, the sidebar, and a table's row."""

from __future__ import annotations

from collections.abc import Callable
from urllib.parse import parse_qs

from dashboard_support import READY
from playwright.sync_api import Locator, Page, expect
from support import eventually as soon


def eventually(condition: Callable[[], object]) -> None:
    """As patient as the browser's own expectations."""
    soon(condition, within_s=30)


def query(page: Page) -> dict[str, str]:
    """What the address bar says."""
    search = str(page.evaluate("location.search"))  # `page.url` is only brought up to date by the next question
    return {name: values[0] for name, values in parse_qs(search.lstrip("?")).items()}


def settled(page: Page) -> None:
    page.wait_for_selector(READY, timeout=60_000)


def go(page: Page, name: str) -> None:
    """To another page, by the sidebar."""
    page.get_by_test_id("stSidebarNavLink").filter(has_text=name).click()
    expect(page.get_by_role("heading", name=name, exact=True)).to_be_visible()
    settled(page)


def select_first_row(page: Page, table: Locator) -> None:
    """Click on the check box of the first row, on the table's canvas, when the layout no longer changes."""
    page.wait_for_load_state("networkidle")
    table.scroll_into_view_if_needed()
    box = table.bounding_box()
    assert box
    page.mouse.click(box["x"] + 14, box["y"] + 52)
