"""The charts in a real browser: drag, hover, legend, keyboard, export and both themes."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
from dashboard_support import Server, metric, open_page, start_server
from playwright.sync_api import Browser, ConsoleMessage, Error, FloatRect, Page, expect
from support import ROOT, connect, eventually, python, run, with_database
from tabs import Tabs

from tracker.database.migrate import migrate

pytestmark = pytest.mark.browser
HTML_NAME = '<a href="http://example.com">model & co</a>'


@pytest.fixture(scope="module")
def chart_url(server_url: str) -> str:
    """The database of `server`."""
    return with_database(server_url, f"tracker_charts_{os.getpid()}")


@pytest.fixture(scope="module")
def server(server_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A dashboard on sample calls, one of them with a model whose name is markup."""
    name = f"tracker_charts_{os.getpid()}"
    run(server_url, f"DROP DATABASE IF EXISTS {name}", f"CREATE DATABASE {name}")
    url = with_database(server_url, name)
    migrate(lambda: connect(url))
    assert python("-m", "tracker", "sample-data", "--days", "3", env={"DATABASE_URL": url}).returncode == 0
    run(
        url,
        "INSERT INTO token_usage (created_at, model, input_tokens, output_tokens, total_tokens)"
        f" VALUES (now() - interval '5 hours', '{HTML_NAME}', 900000, 100, 900100)",
    )
    started = start_server({"DATABASE_URL": url, "XDG_STATE_HOME": str(tmp_path_factory.mktemp("home"))})
    yield started
    started.process.terminate()
    started.process.wait(timeout=20)
    run(server_url, f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")


@pytest.fixture
def visit(server: Server, tabs: Tabs) -> Iterator[Callable[..., Page]]:
    """Opens a path and waits for the first chart; the policy must refuse nothing."""
    refused: list[str] = []

    def check_message(message: ConsoleMessage) -> None:
        if "Security Policy" in message.text:
            refused.append(message.text)

    def open_it(path: str = "", **context: object) -> Page:
        given = {"timezone_id": "Asia/Seoul", "locale": "en-US", "viewport": {"width": 1440, "height": 1300}, **context}
        page = tabs.open(**given)
        tabs.listen(page, "console", check_message)
        tabs.listen(page, "pageerror", lambda error: refused.append(str(error)))
        open_page(page, f"{server.url}/{path}")
        page.locator(".js-plotly-plot .main-svg").first.wait_for()
        expect(page.get_by_test_id("stSkeleton")).to_have_count(0)
        return page

    yield open_it
    assert refused == []
    assert server.unforeseen() == ""


def shown_range(page: Page) -> str | None:
    """The range in the address bar."""
    search = str(page.evaluate("location.search"))  # `page.url` is only brought up to date by the next question
    return parse_qs(search.lstrip("?")).get("range", [None])[0]


def box_of(page: Page, number: int = 0) -> FloatRect:
    """Where a chart is on screen."""
    chart = page.locator(".js-plotly-plot").nth(number)
    for _ in range(3):
        with suppress(Error):  # the page drew another chart instead of this one
            chart.scroll_into_view_if_needed()
            if box := chart.bounding_box():
                return box
    raise AssertionError("no chart stays on the page")


def drag(page: Page, start: float, end: float) -> None:
    """Drag across a part of the first chart's width."""
    box = box_of(page)
    y = box["y"] + 150
    page.mouse.move(box["x"] + box["width"] * start, y)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * end, y, steps=8)
    page.mouse.up()


def test_deployments_are_marks_with_their_texts(visit: Callable[..., Page], server: Server, chart_url: str) -> None:
    name = "<b>a1b2c3d</b> 배포"
    run(
        chart_url,
        "INSERT INTO token_usage (created_at, deployment, environment, model, input_tokens, output_tokens,"
        " total_tokens, is_test) SELECT now() - age, deployment, 'production', 'm', 1, 1, 2, is_test FROM (VALUES"
        f" (interval '30 hours', '{name}', false), (interval '10 hours', '{name}', false),"
        " (interval '4 hours', 'test', true)) AS calls (age, deployment, is_test)",
    )
    # The refresh of the rollups stores the deployment in the background, and the page reads it every 15 s.
    page = visit("?range=7d")
    flag = page.locator(".tracker-chart-flag").first
    flag.wait_for(timeout=60_000)
    assert page.locator(".tracker-chart").first.locator(".shapelayer path").count() == 1
    flag.hover(force=True)
    text = re.compile(rf"^deployment {re.escape(name)}, first call \d.*\d\d:\d\d \(production\)$")
    expect(page.locator(".tracker-chart-hover .tracker-chart-mark").first).to_have_text(text)
    page.locator(".tracker-chart-marks summary", has_text="1 deployment").first.click()
    expect(page.locator(".tracker-chart-marks li").first).to_have_text(text)


def test_a_drag_sets_the_range_and_back_and_a_double_click_undo_it(visit: Callable[..., Page]) -> None:
    page = visit("?range=24h")
    drag(page, 0.4, 0.6)
    eventually(lambda: "T" in (shown_range(page) or ""), within_s=30)
    assert re.fullmatch(r"(\d{4}-\d\d-\d\dT\d\d:00Z\.\.\d{4}-\d\d-\d\dT\d\d:00Z)", shown_range(page) or "")
    expect(page.locator(".js-plotly-plot").first.locator(".point").first).to_be_visible()
    expect(page.get_by_role("button", name=re.compile(r"\d\d:00–\d\d:00"))).to_be_visible()
    page.go_back()
    eventually(lambda: shown_range(page) == "24h", within_s=30)
    page.go_forward()
    eventually(lambda: "T" in (shown_range(page) or ""), within_s=30)
    expect(page.get_by_role("button", name=re.compile(r"\d\d:00–\d\d:00"))).to_be_visible()
    box = box_of(page)
    page.mouse.dblclick(box["x"] + box["width"] * 0.5, box["y"] + 150)
    eventually(lambda: shown_range(page) == "24h", within_s=30)


def test_a_link_to_two_instants_shows_their_calls_and_times(visit: Callable[..., Page]) -> None:
    now = datetime.now(UTC).replace(minute=0)
    page = visit(f"?range={now - timedelta(hours=6):%Y-%m-%dT%H:%MZ}..{now - timedelta(hours=2.5):%Y-%m-%dT%H:%MZ}")
    expect(metric(page, "Calls")).to_be_visible()
    page.get_by_role("button", name=re.compile(r"\d\d:00–\d\d:30")).click()
    expect(page.get_by_text("To (00:00 is the end of the day)").first).to_be_visible()


def test_hover_lists_all_series_sorted_with_total_and_survives_a_refresh(visit: Callable[..., Page]) -> None:
    page = visit("?range=7d")
    box = box_of(page)
    page.mouse.move(box["x"] + box["width"] * 0.82, box["y"] + 180)
    hover = page.locator(".tracker-chart-hover").first
    expect(hover).to_be_visible()
    values = [int(text.replace(",", "")) for text in hover.locator(".tracker-chart-value").all_inner_texts()]
    assert len(values) > 2
    assert values[:-1] == sorted(values[:-1], reverse=True)
    assert values[-1] == sum(values[:-1])
    assert "Tokens" in hover.inner_text()
    before = page.get_by_text("as of ").inner_text()
    eventually(lambda: page.get_by_text("as of ").inner_text() != before, within_s=40)
    page.wait_for_timeout(300)
    expect(hover).to_be_visible()


def test_a_click_in_the_legend_isolates_a_series_and_the_next_shows_all(visit: Callable[..., Page]) -> None:
    page = visit("?range=7d")
    series = page.locator(".tracker-chart").first.locator(".tracker-chart-series")
    pressed = [str(one.get_attribute("aria-pressed")) for one in series.all()]
    assert set(pressed) == {"true"}
    series.nth(1).click()
    expect(series.nth(0)).to_have_attribute("aria-pressed", "false")
    expect(series.nth(1)).to_have_attribute("aria-pressed", "true")
    series.nth(1).click()
    expect(series.nth(0)).to_have_attribute("aria-pressed", "true")


def test_a_name_of_markup_stays_text(visit: Callable[..., Page]) -> None:
    page = visit("explorer?rows=model&range=7d")
    expect(page.locator(".js-plotly-plot .yaxislayer-above, .js-plotly-plot .ytick").first).to_be_attached()
    assert page.locator(".js-plotly-plot a").count() == 0
    overview = visit("?range=7d")
    expect(overview.locator(".tracker-chart-series").filter(has_text=HTML_NAME).first).to_be_visible()
    assert overview.locator(".tracker-chart a").count() == 0


def test_the_keyboard_reads_the_values_and_opens_the_calls(visit: Callable[..., Page]) -> None:
    page = visit("explorer?rows=operation&range=7d")
    page.locator(".tracker-chart-stage").first.focus()
    page.keyboard.press("ArrowRight")
    expect(page.locator(".tracker-chart-hover").first).to_be_visible()
    expect(page.locator(".tracker-chart-spoken").first).to_contain_text("tokens")
    page.keyboard.press("Enter")
    eventually(lambda: "row=" in str(page.evaluate("location.search")), within_s=30)


def test_a_chart_is_exported_and_its_button_covers_no_control(visit: Callable[..., Page]) -> None:
    page = visit("?range=7d")
    box = box_of(page)
    page.mouse.move(box["x"] + box["width"] * 0.9, box["y"] + 60)
    page.get_by_role("radio", name="by kind").or_(page.get_by_role("button", name="by kind", exact=True)).click()
    eventually(lambda: "tokens=kind" in str(page.evaluate("location.search")), within_s=30)
    expect(page.locator(".tracker-chart-series").filter(has_text="input, cached").first).to_be_visible()
    with page.expect_download() as download:
        page.get_by_role("button", name="Download the chart as PNG").first.click()
    assert Path(download.value.path()).read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(("theme", "color"), [("light", "rgb(32, 110, 231)"), ("dark", "rgb(50, 157, 255)")])
def test_series_have_the_colors_of_the_theme(visit: Callable[..., Page], theme: str, color: str) -> None:
    page = visit("?range=7d", color_scheme=theme)
    swatches = page.locator(".tracker-chart").first.locator(".tracker-chart-series .tracker-chart-swatch")
    colors = [str(one.evaluate("one => getComputedStyle(one).backgroundColor")) for one in swatches.all()]
    assert color in colors
    assert len(set(colors)) == len(colors)


def test_one_bundle_is_loaded_and_it_comes_compressed_from_here(server: Server, browser: Browser) -> None:
    page = browser.new_page()
    bundles: list[str] = []
    page.on("response", lambda answer: bundles.append(answer.url) if "plotly" in answer.url.lower() else None)
    with page.expect_response(lambda answer: "plotly.min.js" in answer.url) as answer:
        open_page(page, f"{server.url}/?range=7d")
    page.locator(".js-plotly-plot .main-svg").first.wait_for()
    assert answer.value.header_value("content-encoding") == "gzip"
    assert "immutable" in str(answer.value.header_value("cache-control"))
    assert len(bundles) == 1
    assert urlsplit(bundles[0]).netloc == urlsplit(server.url).netloc
    page.close()


CLICKABLE = """
import pandas as pd
import streamlit as st
from pages.widgets.charts import heat, stacked

buckets = pd.date_range("2026-11-26", periods=4, freq="D")
days = pd.DataFrame({"at": [*buckets, *buckets], "name": ["low"] * 4 + ["high"] * 4, "tokens": [10] * 4 + [30] * 4})
options = {"names": ["low", "high"], "buckets": buckets, "bucket": "day", "now": pd.Timestamp("2027-01-01")}
stacked(days, "tokens", number="count", label="", alt="days", colors="kind", on_click=st.json, **options)
cells = pd.DataFrame({"weekday": [2], "hour": [9], "calls": [5]})
heat(cells, "calls", label="", alt="hours", on_click=st.json)
"""


def test_a_click_on_a_bar_or_a_cell_calls_the_page_with_its_data(tabs: Tabs, tmp_path: Path) -> None:
    script = tmp_path / "clickable.py"
    script.write_text(CLICKABLE, encoding="utf-8")
    app = start_server({"_SCRIPT": str(script), "PYTHONPATH": str(ROOT)})
    try:
        page = tabs.open(viewport={"width": 1440, "height": 900}, timezone_id="UTC")
        open_page(page, app.url)
        expect(page.locator(".js-plotly-plot .main-svg").last).to_be_attached()
        bar = page.locator(".js-plotly-plot").first.locator(".bars").nth(1).locator(".point").nth(1)
        low_bar = page.locator(".js-plotly-plot").first.locator(".bars").nth(0).locator(".point").nth(2)
        for target, series, day in ((bar, "high", 27), (low_bar, "low", 28)):
            box = target.bounding_box()
            assert box
            page.mouse.click(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
            shown = page.get_by_test_id("stJson")
            expect(shown).to_contain_text(f'"{series}"')
            expect(shown).to_contain_text(f"2026, 11, {day}")
        area = page.locator(".js-plotly-plot").last.locator(".nsewdrag").bounding_box()
        assert area
        page.mouse.click(area["x"] + area["width"] * 9.5 / 24, area["y"] + area["height"] * 2.5 / 7)
        expect(page.get_by_test_id("stJson")).to_contain_text(re.compile(r"weekday.*2.*hour.*9", re.DOTALL))
    finally:
        app.process.terminate()
        app.process.wait(timeout=20)
