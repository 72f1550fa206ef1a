"""The pages in a real browser: main actions, links, appearance, languages, and accessibility."""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Thread
from urllib.parse import parse_qs, urlsplit

import pandas as pd
import psycopg2
import pytest
from axe_playwright_python.sync_playwright import Axe
from dashboard_support import READY, Server, metric, open_page, start_server
from playwright.sync_api import Locator, Page, expect
from support import ROLE_PASSWORD, connect, python, run, value, with_database, with_role
from support import eventually as soon
from tabs import Tabs

from tracker.database.migrate import migrate

pytestmark = pytest.mark.browser
PATHS = ("", "explorer", "latency", "calls", "connections", "performance", "environment", "prices", "recordings")
# Streamlit's own, which an app can't change: how it marks up its lists, its charts' images, its tables' canvas.
NOT_OURS = {"list", "listitem", "svg-img-alt", "aria-allowed-attr", "scrollable-region-focusable", "nested-interactive"}


@pytest.fixture(scope="module")
def sample_url(server_url: str) -> Iterator[str]:
    """A database with sample calls and a few recordings, for every test of this module."""
    name = f"tracker_browser_{os.getpid()}"
    run(server_url, f"DROP DATABASE IF EXISTS {name}", f"CREATE DATABASE {name}")
    url = with_database(server_url, name)
    migrate(lambda: connect(url))
    assert python("-m", "tracker", "sample-data", "--days", "10", env={"DATABASE_URL": url}).returncode == 0
    yield url
    run(server_url, f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")


@pytest.fixture(scope="module")
def server(sample_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
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
        open_page(page, f"{server.url}/{path}")
        return page

    yield open_it
    assert server.unforeseen() == ""


def eventually(condition: Callable[[], object]) -> None:
    """As patient as the browser's own expectations."""
    soon(condition, within_s=30)


def query(page: Page) -> dict[str, str]:
    """What the address bar says."""
    search = str(page.evaluate("location.search"))  # `page.url` is only brought up to date by the next question
    return {name: values[0] for name, values in parse_qs(search.lstrip("?")).items()}


def colors(part: Locator) -> set[int]:
    """The bytes of its picture, of which a blank one has few."""
    return set(part.screenshot())


def settled(page: Page) -> None:
    page.wait_for_selector(READY, timeout=60_000)


def drawn(page: Page) -> None:
    """The script is done before the browser is: wait for what it loads by and by, the shell's own style among it."""
    settled(page)
    styles = "[...document.querySelectorAll('style')].some(one => one.textContent.includes('light-dark'))"
    eventually(lambda: page.evaluate(styles))  # `wait_for_function` evaluates a text, which the page's policy forbids
    page.wait_for_load_state("networkidle")
    expect(page.get_by_test_id("stSkeleton")).to_have_count(0)


def go(page: Page, name: str) -> None:
    """To another page, by the sidebar."""
    page.get_by_test_id("stSidebarNavLink").filter(has_text=name).click()
    expect(page.get_by_role("heading", name=name, exact=True)).to_be_visible()
    settled(page)


def test_a_link_shows_the_same_view_on_every_page(visit: Callable[..., Page]) -> None:
    page = visit("?range=7d&model=gemini-2.5-pro&tests=true")
    expect(page.get_by_text("model: gemini-2.5-pro")).to_be_visible()
    tokens = metric(page, "Tokens").inner_text()
    go(page, "Explorer")
    eventually(lambda: query(page) == {"range": "7d", "model": "gemini-2.5-pro", "tests": "true"})
    expect(page.get_by_text("model: gemini-2.5-pro")).to_be_visible()
    go(page, "Overview")
    assert metric(page, "Tokens").inner_text() == tokens
    page.get_by_role("button", name="24 h", exact=True).or_(page.get_by_role("radio", name="24 h", exact=True)).click()
    eventually(lambda: query(page).get("range") == "24h")
    again = visit(f"?{urlsplit(page.url).query}")
    expect(again.get_by_text("model: gemini-2.5-pro")).to_be_visible()


def test_custom_days_are_in_the_address_bar(visit: Callable[..., Page]) -> None:
    page = visit("?range=2023-11-16..2023-11-17")
    expect(page.get_by_text("No calls in this range")).to_be_visible()
    page.get_by_role("button", name="Show that day").click()
    expect(metric(page, "Calls")).to_be_visible()
    shown = query(page)["range"]
    assert len(shown) == len("2026-11-24")
    again = visit(f"?range={shown}")
    expect(metric(again, "Calls")).to_be_visible()


def test_an_invalid_link_shows_the_default_view(visit: Callable[..., Page]) -> None:
    page = visit("?range=nonsense&tz=Nowhere/At_all&lang=xx&rows=;drop&measure=none&row=x&call=not-an-id")
    expect(metric(page, "Tokens")).to_be_visible()
    expect(page.get_by_text("An unexpected error occurred")).to_have_count(0)


def test_explorer_drills_down_to_one_call_and_updates_the_address(visit: Callable[..., Page]) -> None:
    page = visit("explorer?rows=operation&columns=model&row=chat")
    expect(page.get_by_text("operation: chat")).to_be_visible()
    select_first_row(page, page.get_by_test_id("stDataFrame").nth(1))
    eventually(lambda: "call" in query(page))
    expect(page.get_by_test_id("stJson")).to_contain_text("chat")
    again = visit(f"explorer?{urlsplit(page.url).query}")
    expect(again.get_by_test_id("stJson")).to_contain_text(query(page)["call"])
    again.get_by_role("dialog").get_by_role("button", name="Close").click()
    expect(again.get_by_test_id("stJson")).to_have_count(0)
    eventually(lambda: "call" not in query(again))
    again.get_by_role("button", name="Close").click()
    eventually(lambda: "row" not in query(again))


def test_the_calls_use_the_full_width_and_the_selection_is_visible(visit: Callable[..., Page]) -> None:
    page = visit("explorer?rows=operation", viewport={"width": 1440, "height": 1600})
    bars = page.get_by_role("group", name="tokens by operation").first.locator(".barlayer .point path")
    expect(bars.nth(2)).to_be_attached()
    select_first_row(page, page.get_by_test_id("stDataFrame").first)
    eventually(lambda: "row" in query(page))
    expect(page.get_by_text("Calls of the selection", exact=True)).to_be_visible()
    eventually(lambda: opacities(bars).count("1") == 1 and opacities(bars).count("0.35") == len(opacities(bars)) - 1)
    pivot, calls = (page.get_by_test_id("stDataFrame").nth(number).bounding_box() for number in (0, 1))
    assert pivot
    assert calls
    assert calls["width"] > 2 * pivot["width"]
    select_first_row(page, page.get_by_test_id("stDataFrame").nth(1))
    expect(page.get_by_role("dialog").get_by_test_id("stJson")).to_be_visible()
    after = page.get_by_test_id("stDataFrame").nth(1).bounding_box()
    assert after
    assert after["width"] == calls["width"]
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_have_count(0)
    eventually(lambda: "call" not in query(page))
    settled(page)
    first = query(page)["row"]
    box = bars.nth(2).bounding_box()
    assert box
    page.mouse.click(box["x"] + 4, box["y"] + box["height"] / 2)
    eventually(lambda: query(page).get("row") not in {None, first})
    eventually(lambda: opacities(bars).count("1") == 1)
    settled(page)
    assert query(page)["row"] != first  # the table has the new selection, too


def opacities(bars: Locator) -> list[str]:
    return [str(bar.evaluate("bar => getComputedStyle(bar).opacity")) for bar in bars.all()]


def test_a_click_on_a_bar_shows_its_calls(visit: Callable[..., Page]) -> None:
    page = visit("explorer?rows=operation")
    chart = page.locator(".js-plotly-plot").first
    chart.locator(".main-svg").first.wait_for()
    box = chart.bounding_box()
    assert box
    page.mouse.click(box["x"] + box["width"] * 0.45, box["y"] + 46)
    eventually(lambda: "row" in query(page))
    expect(page.get_by_text("Calls of the selection", exact=True)).to_be_visible()


def test_a_heat_map_cell_opens_the_explorer_and_back_returns(visit: Callable[..., Page]) -> None:
    page = visit("?range=7d&lang=ko", viewport={"width": 1440, "height": 2200})
    heat = page.get_by_role("group", name="시간과 요일별 호출").first
    click_at(page, heat, 0.6, 0.4)
    expect(page.get_by_role("heading", name="탐색", exact=True)).to_be_visible()
    eventually(lambda: {"weekday", "hour_of_day"} <= query(page).keys())
    assert (query(page)["range"], query(page)["lang"]) == ("7d", "ko")
    expect(page.get_by_text("요일:").first).to_be_visible()
    settled(page)
    page.go_back()
    expect(page.get_by_role("heading", name="개요", exact=True)).to_be_visible()
    eventually(lambda: query(page).get("range") == "7d")
    expect(page.get_by_text("요일:")).to_have_count(0)


def test_a_bar_and_a_table_row_open_their_calls_in_the_explorer(visit: Callable[..., Page]) -> None:
    page = visit("?range=7d&provider=google", viewport={"width": 1440, "height": 2200})
    click_at(page, page.get_by_role("group", name="Tokens over time by model").first, 0.6, 0.7)
    expect(page.get_by_text("Calls of the selection", exact=True)).to_be_visible()
    eventually(lambda: query(page).get("rows") == "day")
    bar = query(page)
    assert (bar["range"], bar["provider"], len(bar["row"])) == ("7d", "google", len("2026-11-27"))
    settled(page)
    page.go_back()
    expect(page.get_by_role("heading", name="Overview", exact=True)).to_be_visible()
    table = page.get_by_test_id("stDataFrame").filter(has_text="gemini-2.5-flash").first
    table.scroll_into_view_if_needed()
    box = table.bounding_box()
    assert box
    page.mouse.click(box["x"] + 100, box["y"] + 52)
    page.keyboard.press("Shift+Space")
    expect(page.get_by_text("Calls of the selection", exact=True)).to_be_visible()
    eventually(lambda: query(page).get("row", "").startswith("gemini"))
    assert query(page).keys() == {"range", "provider", "row"}


def test_a_ratio_over_time_shows_its_total_and_its_calls(visit: Callable[..., Page]) -> None:
    page = visit("explorer?range=7d&rows=day&columns=model&measure=latency_p95_ms&weekday=0")
    expect(page.get_by_text("weekday: Mon")).to_be_visible()
    expect(page.get_by_text("Percentiles come from a histogram")).to_be_visible()
    chart = page.get_by_role("group", name="latency p95 by day").first
    expect(chart.locator(".scatterlayer .trace").nth(1)).to_be_attached()
    assert chart.locator(".barlayer .trace").count() == 0


def select_first_row(page: Page, table: Locator) -> None:
    """Click on the check box of the first row, on the table's canvas, when the layout no longer changes."""
    page.wait_for_load_state("networkidle")
    table.scroll_into_view_if_needed()
    box = table.bounding_box()
    assert box
    page.mouse.click(box["x"] + 14, box["y"] + 52)


def click_at(page: Page, chart: Locator, x_share: float, y_share: float) -> None:
    """Click on a chart at a share of its width and height."""
    plot = chart.locator(".tracker-chart-plot")
    plot.locator(".main-svg").first.wait_for()
    page.wait_for_load_state("networkidle")
    plot.scroll_into_view_if_needed()
    box = plot.bounding_box()
    assert box
    page.mouse.click(box["x"] + box["width"] * x_share, box["y"] + box["height"] * y_share)


def test_tables_can_be_downloaded(visit: Callable[..., Page], sample_url: str) -> None:
    page = visit("explorer?range=all&measure=calls")
    frames = []
    for label, read in (("CSV", pd.read_csv), ("CSV for Excel", pd.read_csv), ("Parquet", pd.read_parquet)):
        with page.expect_download() as download:
            page.get_by_role("button", name=label, exact=True).click()
        content = Path(download.value.path()).read_bytes()
        assert content.startswith(b"\xef\xbb\xbf") == (label == "CSV for Excel")
        frames.append(read(io.BytesIO(content)))
    expected = value(sample_url, "SELECT count(*) FROM token_usage WHERE NOT is_test")
    assert [list(frame) for frame in frames] == [["model", "calls"]] * 3
    assert [int(frame["calls"].sum()) for frame in frames] == [expected] * 3


def test_the_call_log_is_searched_paged_and_exported(visit: Callable[..., Page], sample_url: str) -> None:
    page = visit("calls?range=all&result=failed")
    failed = value(sample_url, "SELECT count(*) FROM token_usage WHERE NOT is_test AND NOT success")
    expect(page.get_by_text(f"{min(failed, 50)} calls")).to_be_visible()
    with page.expect_download() as download:
        page.get_by_role("link", name="Export all matching calls (CSV)").click()
    exported = pd.read_csv(Path(download.value.path()))
    assert (len(exported), exported["success"].any()) == (failed, False)
    page.get_by_role("radiogroup", name="Result").get_by_role("radio", name="All").click()
    eventually(lambda: "result" not in query(page))
    page.get_by_role("button", name="Older").click()
    expect(page.get_by_role("button", name="Newer")).to_be_enabled()
    page.get_by_label("Search", exact=True).fill("no such text")
    page.get_by_label("Search", exact=True).press("Enter")
    expect(page.get_by_text("No call matches.")).to_be_visible()
    again = visit(f"calls?{urlsplit(page.url).query}")
    expect(again.get_by_text("No call matches.")).to_be_visible()
    expect(again.get_by_label("Search", exact=True)).to_have_value("no such text")


def test_a_row_of_the_call_log_opens_its_details(visit: Callable[..., Page]) -> None:
    page = visit("calls")
    select_first_row(page, page.get_by_test_id("stDataFrame").first)
    eventually(lambda: "call" in query(page))
    expect(page.get_by_test_id("stJson")).to_contain_text(query(page)["call"])


@pytest.mark.direct
def test_connections_terminates_the_blocking_session_after_a_confirmation(
    visit: Callable[..., Page], sample_url: str
) -> None:
    role = f"tracker_stray_{os.getpid()}"
    run(sample_url, f"CREATE ROLE {role} LOGIN PASSWORD '{ROLE_PASSWORD}'")
    stray = psycopg2.connect(with_role(sample_url, role), application_name="zz-stray")
    waiter = psycopg2.connect(with_role(sample_url, role), application_name="zz-waiter")
    lock = "SELECT pg_advisory_lock(4711), 'sk-s3cret'"
    try:
        stray.autocommit = waiter.autocommit = True
        stray.cursor().execute(lock)
        page = visit("connections")
        expect(page.get_by_text("more connections can be opened")).to_be_visible()
        assert int(metric(page, "Used").inner_text().split()[-1]) >= 2
        table = page.get_by_test_id("stDataFrame").filter(has_text="zz-stray").last
        table.scroll_into_view_if_needed()
        row = next(
            number for number, cells in enumerate(table.locator("tbody tr").all_inner_texts()) if "zz-stray" in cells
        )
        box = table.bounding_box()
        assert box
        page.mouse.click(box["x"] + 14, box["y"] + 34 + 34 * row + 17)
        expect(page.get_by_test_id("stCode").get_by_text("SELECT pg_advisory_lock(?), ?")).to_be_visible()
        page.get_by_text("Show values").click()
        expect(page.get_by_test_id("stCode").get_by_text(lock)).to_be_visible()
        # The session moves to the first row and stays selected.
        waiting = Thread(target=lambda: waiter.cursor().execute(lock))
        waiting.start()
        expect(page.get_by_text("1 session waits for a lock of zz-stray")).to_be_visible()
        expect(page.get_by_text("or terminate the session below")).to_be_visible()
        eventually(lambda: "zz-stray" in table.locator("tbody tr").first.inner_text())
        page.get_by_role("button", name="Terminate the session").click()
        expect(page.get_by_role("dialog")).to_contain_text("zz-stray")
        assert value(sample_url, "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'zz-stray'") == 1
        page.get_by_role("button", name="Terminate", exact=True).click()
        expect(page.get_by_text("was terminated.")).to_be_visible()
        gone = "SELECT count(*) = 0 FROM pg_stat_activity WHERE application_name = 'zz-stray'"
        eventually(lambda: value(sample_url, gone))
        waiting.join(20)
    finally:
        stray.close()
        waiter.close()
        run(sample_url, f"DROP ROLE {role}")


@pytest.mark.parametrize("mode", ["direct", "background"])
def test_a_load_test_stores_each_record_once(visit: Callable[..., Page], sample_url: str, mode: str) -> None:
    page = visit("recordings")
    page.get_by_label("Records", exact=True).fill("40")
    page.get_by_label("Records", exact=True).press("Enter")
    page.get_by_role("radio", name=mode).or_(page.get_by_role("button", name=mode, exact=True)).click()
    settled(page)
    page.get_by_role("button", name="Start").click()
    expect(page.get_by_text(" of 40 records").or_(metric(page, "p95"))).to_be_visible()
    page.reload()  # the load test of the server goes on
    expect(page.get_by_label("Records", exact=True)).to_have_value("40")
    expect(page.get_by_text("40 records were acknowledged, and each has exactly one row.")).to_be_visible()
    expect(metric(page, "p95")).to_be_visible()
    status = "recorded" if mode == "direct" else "queued, then delivered"
    expect(page.get_by_text(f"{status} 40")).to_be_visible()
    assert value(sample_url, "SELECT count(*) FROM token_usage WHERE is_test") == 40
    page.get_by_role("button", name="Remove all test rows").click()
    expect(page.get_by_text("40 test rows of all users and apps are deleted.")).to_be_visible()
    page.get_by_role("button", name="Remove", exact=True).click()
    expect(page.get_by_text("40 test rows were removed.")).to_be_visible()


def test_a_test_call_links_to_the_overview(visit: Callable[..., Page]) -> None:
    page = visit("recordings")
    page.get_by_role("button", name="AI tag").click()
    expect(metric(page, "Status")).to_contain_text("recorded")
    page.get_by_role("button", name="Show in the Overview").click()
    expect(page.get_by_role("heading", name="Overview", exact=True)).to_be_visible()
    eventually(lambda: query(page).get("tests") == "true")
    go(page, "Performance")
    expect(page.get_by_text("0 missing")).to_be_visible()


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
def test_axe_reports_no_violations(visit: Callable[..., Page], theme: str, locale: str) -> None:
    page = visit("", color_scheme=theme, locale=locale)
    ours = {}
    for path in each_page(page):
        for one in Axe().run(page).response["violations"]:
            if one["id"] not in NOT_OURS:
                ours[path, one["id"]] = [node["html"][:160] for node in one["nodes"][:3]]
    assert ours == {}


def test_pages_fit_the_width_of_a_phone(visit: Callable[..., Page]) -> None:
    page = visit()
    width = "document.querySelector('[data-testid=stMain]').scrollWidth"
    for path in each_page(page):
        page.set_viewport_size({"width": 390, "height": 844})
        eventually(lambda: page.evaluate("innerWidth") == 390)
        settled(page)
        expect(page.get_by_test_id("stMain")).to_be_visible()
        eventually(lambda: page.evaluate(width) <= 390)
        page.set_viewport_size({"width": 1280, "height": 720})
        expect(page.get_by_test_id("stSidebarNavLink").first, path).to_be_visible()


@pytest.mark.parametrize(
    ("path", "contents"),
    [
        ("performance", ("Sample data.", "outbox", "connection_refused")),
        ("connections", ("Sample data before",)),
        ("", ("Sample data.", "Claude · model claude-sonnet-4-5 · sample")),
    ],
)
def test_a_page_states_its_sample_data(visit: Callable[..., Page], path: str, contents: tuple[str, ...]) -> None:
    page = visit(path)
    for content in contents:
        expect(page.get_by_test_id("stMain")).to_contain_text(content)
