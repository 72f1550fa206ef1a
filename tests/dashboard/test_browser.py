"""The pages in a real browser: outages, refreshes, languages, accessibility, and small screens."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from axe_playwright_python.sync_playwright import Axe
from browser_support import eventually, query, settled
from dashboard_support import metric
from playwright.sync_api import Locator, Page, expect
from support import run, with_database

pytestmark = pytest.mark.browser
PATHS = (
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
# Streamlit's own, which an app can't change: how it marks up its lists, its charts' images, its tables' canvas.
NOT_OURS = {"list", "listitem", "svg-img-alt", "aria-allowed-attr", "scrollable-region-focusable", "nested-interactive"}


def colors(part: Locator) -> set[int]:
    """The bytes of its picture, of which a blank one has few."""
    return set(part.screenshot())


def drawn(page: Page) -> None:
    """The script is done before the browser is: wait for what it loads by and by, the shell's own style among it."""
    settled(page)
    styles = "[...document.querySelectorAll('style')].some(one => one.textContent.includes('light-dark'))"
    eventually(lambda: page.evaluate(styles))  # `wait_for_function` evaluates a text, which the page's policy forbids
    page.wait_for_load_state("networkidle")
    expect(page.get_by_test_id("stSkeleton")).to_have_count(0)


SHOWN = {
    "?range=all": "Last records",
    "explorer?range=all": "Table",
    "connections": "more connections can be opened",
    "performance?range=all": "Connection, p50",
    "environment": "Checklist",
    "recordings": "Clean up",
}
# Their figures don't change by themselves.
STILL = {"environment", "recordings"}


def test_open_pages_show_an_outage_and_recover(visit: Callable[..., Page], sample_url: str) -> None:
    # The Explorer asks once a minute: test_outage.py doesn't wait for it.
    pages = {path: visit(path) for path in SHOWN if not path.startswith("explorer")}
    for path, page in pages.items():
        expect(page.get_by_text(SHOWN[path]).first).to_be_visible()
        dot = page.get_by_test_id("stSidebar").get_by_text("Recording normally")
        expect(dot.or_(page.get_by_test_id("stSidebar").get_by_text("No recordings"))).to_be_visible()
        page.evaluate("window.stayed = true")
    database = sample_url.partition("?")[0].rpartition("/")[2]
    maintenance = with_database(sample_url, "postgres")
    everybody = f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{database}'"
    run(maintenance, f"ALTER DATABASE {database} ALLOW_CONNECTIONS false", everybody)
    try:
        for path, page in pages.items():
            expect(page.get_by_text("Not recording")).to_be_visible()
            if path not in STILL:
                expect(page.get_by_text("The page recovers automatically.")).to_be_visible()
        expect(pages["environment"].get_by_text("This process can't record calls.")).to_be_visible()
        pages["recordings"].get_by_role("button", name="AI tag").click()
        expect(pages["recordings"].get_by_text("The record is in the local outbox")).to_be_visible()
    finally:
        run(maintenance, f"ALTER DATABASE {database} ALLOW_CONNECTIONS true")
    for path, page in pages.items():
        expect(page.get_by_text("Not recording")).to_have_count(0)
        expect(page.get_by_text("The page recovers automatically.")).to_have_count(0)
        expect(page.get_by_text(SHOWN[path]).first).to_be_visible()
        assert page.evaluate("window.stayed"), path
    expect(pages["environment"].get_by_text("This process can record calls.")).to_be_visible()
    expect(metric(pages["recordings"], "Status")).to_contain_text("queued, then delivered")


def test_a_page_refreshes_until_it_is_paused(visit: Callable[..., Page]) -> None:
    paused, live = visit("connections"), visit("connections")
    paused.get_by_text("Live", exact=True).last.click()
    expect(paused.get_by_text("paused")).to_be_visible()
    settled(paused)
    stands = paused.get_by_text("as of ").inner_text()
    for _ in range(2):
        before = live.get_by_text("as of ").inner_text()
        eventually(lambda before=before: live.get_by_text("as of ").inner_text() != before)
    assert paused.get_by_text("as of ").inner_text() == stands


def test_the_user_changes_language_and_time_zone(visit: Callable[..., Page]) -> None:
    page = visit("", locale="ko-KR")
    expect(page.get_by_role("heading", name="개요", exact=True)).to_be_visible()
    expect(metric(page, "토큰")).to_contain_text("만")
    page.get_by_role("radio", name="English").or_(page.get_by_role("button", name="English")).click()
    expect(page.get_by_role("heading", name="Overview", exact=True)).to_be_visible()
    eventually(lambda: query(page).get("lang") == "en")
    other = visit("?lang=ko&tz=America/New_York")
    expect(other.get_by_role("heading", name="개요", exact=True)).to_be_visible()
    expect(other.get_by_role("combobox", name="시간대")).to_have_value("America/New_York")


def test_a_model_of_any_name_has_its_bar(visit: Callable[..., Page], sample_url: str) -> None:
    for name in ("constructor", "__proto__", "toString"):
        run(
            sample_url,
            "INSERT INTO token_usage (created_at, model, input_tokens, output_tokens, total_tokens) VALUES"
            f" ('2024-05-05 12:00+00', '{name}', 10, 10, 20)",
        )
    try:
        page = visit("?range=2024-05-05")
        chart = page.locator(".js-plotly-plot").first
        chart.locator(".main-svg").first.wait_for()
        assert metric(page, "Calls").inner_text().split()[-1] == "3"
        eventually(lambda: len(colors(chart)) > 50)  # drawn, not blank
    finally:
        run(sample_url, "DELETE FROM token_usage WHERE created_at = '2024-05-05 12:00+00'")


def each_page(page: Page) -> Iterator[str]:
    """Opens each page of the sidebar in turn: its path in the address."""
    for number in range(len(PATHS)):
        page.get_by_test_id("stSidebarNavLink").nth(number).click()
        eventually(lambda number=number: page.evaluate("location.pathname") == f"/{PATHS[number]}")
        drawn(page)
        yield PATHS[number]


@pytest.mark.parametrize(("theme", "locale"), [("light", "en-US"), ("dark", "ko-KR")])
def test_axe_reports_no_violations_and_pages_fit_a_phone(visit: Callable[..., Page], theme: str, locale: str) -> None:
    page = visit("", color_scheme=theme, locale=locale)
    ours = {}
    for path in each_page(page):
        for one in Axe().run(page).response["violations"]:
            if one["id"] not in NOT_OURS:
                ours[path, one["id"]] = [node["html"][:160] for node in one["nodes"][:3]]
        if locale == "en-US":
            check_width_on_a_phone(page, path)
    assert ours == {}


def check_width_on_a_phone(page: Page, path: str) -> None:
    """The open page fits the width of a phone."""
    page.set_viewport_size({"width": 390, "height": 844})
    eventually(lambda: page.evaluate("innerWidth") == 390)
    settled(page)
    expect(page.get_by_test_id("stMain")).to_be_visible()
    eventually(lambda: page.evaluate("document.querySelector('[data-testid=stMain]').scrollWidth") <= 390)
    page.set_viewport_size({"width": 1280, "height": 720})
    expect(page.get_by_test_id("stSidebarNavLink").first, path).to_be_visible()


@pytest.mark.parametrize(
    ("path", "contents"),
    [
        ("performance", ("Sample data.", "outbox", "Sample data: the database")),
        ("connections", ("Sample data before",)),
        ("", ("Sample data.", "Claude · model claude-sonnet-4-5 · sample")),
    ],
)
def test_a_page_states_its_sample_data(visit: Callable[..., Page], path: str, contents: tuple[str, ...]) -> None:
    page = visit(path)
    for content in contents:
        expect(page.get_by_test_id("stMain")).to_contain_text(content)
