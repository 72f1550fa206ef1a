"""In a real browser: the address of a view, and what a click in the Explorer or on the Overview opens."""

from __future__ import annotations

from collections.abc import Callable
from urllib.parse import urlsplit

import pytest
from browser_support import eventually, go, query, select_first_row, settled
from dashboard_support import metric
from playwright.sync_api import Locator, Page, expect

pytestmark = pytest.mark.browser


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


def test_a_link_groups_and_filters_by_properties(visit: Callable[..., Page]) -> None:
    page = visit("explorer?range=7d&columns=metadata.tags", viewport={"width": 1440, "height": 1600})
    rows = page.get_by_role("combobox", name="Rows")
    rows.click()
    rows.fill("team")
    rows.press("Enter")
    eventually(lambda: query(page).get("rows") == "metadata.team")
    expect(page.get_by_text("the sums overlap, the total does not")).to_be_visible()
    filters = page.get_by_role("combobox", name="Filters")
    filters.fill("feature = search")
    filters.press("Enter")
    eventually(lambda: query(page).get("metadata.feature") == "search")
    expect(page.get_by_text("feature: search", exact=True)).to_be_visible()
    settled(page)
    select_first_row(page, page.get_by_test_id("stDataFrame").first)
    eventually(lambda: "row" in query(page))
    settled(page)
    select_first_row(page, page.get_by_test_id("stDataFrame").nth(1))
    plan = page.get_by_role("dialog").get_by_role("button").filter(has_text="plan: ").first
    value = plan.inner_text().partition(": ")[2]
    plan.click()
    eventually(lambda: query(page).get("metadata.plan") == value and "call" not in query(page))
    settled(page)
    total = page.get_by_text("Total:").inner_text()
    again = visit(f"explorer?{urlsplit(page.url).query}")
    expect(again.get_by_text(f"plan: {value}", exact=True)).to_be_visible()
    expect(again.get_by_text("feature: search", exact=True)).to_be_visible()
    expect(again.get_by_text("Total:")).to_have_text(total)
    go(again, "Overview")
    eventually(lambda: query(again).get("metadata.feature") == "search")
    expect(again.get_by_text("Properties are read from the calls")).to_be_visible()


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


def test_a_call_of_the_explorer_opens_its_ai_session_and_back_returns(visit: Callable[..., Page]) -> None:
    page = visit("explorer?range=all&rows=operation&row=chat")
    select_first_row(page, page.get_by_test_id("stDataFrame").nth(1))
    page.get_by_role("button", name="Show the AI session").click()
    expect(page.get_by_role("heading", name="AI sessions", exact=True)).to_be_visible()
    expect(page.get_by_text("Calls in order", exact=True)).to_be_visible()
    session = query(page)["session"]
    expect(page.get_by_test_id("stCode").get_by_text(session)).to_be_visible()
    assert "call" not in query(page)
    page.get_by_role("button", name="All AI sessions").click()
    expect(page.get_by_text("Sort by", exact=True)).to_be_visible()
    assert "session" not in query(page)
    settled(page)
    select_first_row(page, page.get_by_test_id("stDataFrame").first)
    expect(page.get_by_text("Calls in order", exact=True)).to_be_visible()
    assert "session" in query(page)
    page.go_back()
    expect(page.get_by_text("Sort by", exact=True)).to_be_visible()
    eventually(lambda: "session" not in query(page))


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
    heat = page.get_by_role("group", name="요일과 시간대별 호출").first
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


def click_at(page: Page, chart: Locator, x_share: float, y_share: float) -> None:
    """Click on a chart at a share of its width and height."""
    plot = chart.locator(".tracker-chart-plot")
    plot.locator(".main-svg").first.wait_for()
    page.wait_for_load_state("networkidle")
    plot.scroll_into_view_if_needed()
    box = plot.bounding_box()
    assert box
    page.mouse.click(box["x"] + box["width"] * x_share, box["y"] + box["height"] * y_share)
