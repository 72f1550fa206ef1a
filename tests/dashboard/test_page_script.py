"""The dashboard's script in a real browser: console, titles, languages, history, phone, sign-out, lost connection."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator

import pytest
from dashboard_support import PAGES, READY, Server, open_page, start_server
from playwright.sync_api import Browser, BrowserContext, Page, WebSocketRoute, expect
from support import connect, eventually, run, with_database

from tracker.auth.logins import COOKIE, Logins
from tracker.auth.password_hash import hash_password
from tracker.database.migrate import migrate

pytestmark = pytest.mark.browser
PASSWORD_HASH = str(hash_password("correct horse battery"))
# Streamlit's sparklines cause this warning, and an app can't prevent it.
EXEMPT = "Infinite extent for field"
TITLES = {
    "": "Overview",
    "explorer": "Explorer",
    "latency": "Latency and errors",
    "calls": "Calls",
    "ai_sessions": "AI sessions",
    "what_if": "What-if costs",
    "connections": "Connections",
    "performance": "Performance",
    "environment": "Environment",
    "prices": "Prices and budgets",
    "recordings": "Test recordings",
}
NewContext = Callable[..., BrowserContext]


@pytest.fixture(scope="module")
def server(server_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A dashboard below a base path, with a password and some calls."""
    name = f"tracker_page_script_{os.getpid()}"
    run(server_url, f"DROP DATABASE IF EXISTS {name}", f"CREATE DATABASE {name}")
    url = with_database(server_url, name)
    migrate(lambda: connect(url))
    columns = "created_at, model, input_tokens, output_tokens, total_tokens"
    hours = "generate_series(0, 47) AS hour"
    run(url, f"INSERT INTO token_usage ({columns}) SELECT now() - hour * '1 h'::interval, 'm', 2, 1, 3 FROM {hours}")
    env = {"DATABASE_URL": url, "TRACKER_DASHBOARD_PASSWORD_HASH": PASSWORD_HASH, "_BASE": "/tokens"}
    started = start_server({**env, "XDG_STATE_HOME": str(tmp_path_factory.mktemp("home"))})
    started.url += "/tokens"
    yield started
    started.process.terminate()
    started.process.wait(timeout=20)
    run(server_url, f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")


@pytest.fixture
def signed_in(server: Server, browser: Browser) -> Iterator[NewContext]:
    """Opens a browser context with a login of its own."""
    opened: list[BrowserContext] = []

    def open_it(**options: object) -> BrowserContext:
        opened.append(browser.new_context(**{"locale": "en-US", "timezone_id": "Asia/Seoul", **options}))  # type: ignore[arg-type]
        cookie = {"name": COOKIE, "value": Logins(PASSWORD_HASH).create(), "url": server.url}
        opened[-1].add_cookies([cookie])  # type: ignore[list-item]
        return opened[-1]

    yield open_it
    for context in opened:
        context.close()
    assert server.unforeseen() == ""


def address(page: Page) -> str:
    return str(page.evaluate("location.pathname + location.search")).removeprefix("/tokens")


def entries(page: Page) -> int:
    return int(page.evaluate("history.length"))


def expect_address(page: Page, expected: str, language: str = "en") -> None:
    eventually(lambda: address(page) == expected, within_s=30)
    page.wait_for_selector(READY, timeout=60_000)
    assert address(page) == expected
    assert page.locator("html").get_attribute("lang") == language


def choose(page: Page, name: str) -> None:
    page.get_by_role("radio", name=name, exact=True).or_(page.get_by_role("button", name=name, exact=True)).click()


def dates(page: Page) -> str:
    return page.locator(".st-key-range_bar").get_by_test_id("stCaptionContainer").first.inner_text()


def test_each_deep_link_has_its_title_and_a_clean_console(signed_in: NewContext, server: Server) -> None:
    page = signed_in().new_page()
    messages: list[str] = []
    page.on("console", lambda message: message.type != "verbose" and messages.append(message.text))
    page.on("response", lambda response: response.status >= 400 and messages.append(response.url))
    for path in PAGES:
        open_page(page, f"{server.url}/{path}")
        expect(page).to_have_title(f"{TITLES[path]} · Token Tracker")
    assert [text for text in messages if EXEMPT not in text] == []


def test_back_undoes_one_action_at_a_time(signed_in: NewContext, server: Server) -> None:
    page = signed_in().new_page()
    open_page(page, server.url)
    expect_address(page, "/")
    month = dates(page)
    before = entries(page)
    choose(page, "24 h")
    expect_address(page, "/?range=24h")
    assert dates(page) != month
    choose(page, "한국어")
    expect_address(page, "/?range=24h&lang=ko", "ko")
    page.get_by_test_id("stSidebarNavLink").nth(1).click()
    expect(page).to_have_title("탐색 · Token Tracker")
    expect_address(page, "/explorer?lang=ko&range=24h", "ko")
    assert entries(page) == before + 3
    for expected, language in (("/?range=24h&lang=ko", "ko"), ("/?range=24h", "en"), ("/", "en")):
        page.go_back()
        expect_address(page, expected, language)
    eventually(lambda: dates(page) == month, within_s=30)
    page.go_forward()
    expect_address(page, "/?range=24h")


def test_the_sidebar_of_a_phone_closes_after_a_navigation(signed_in: NewContext, server: Server) -> None:
    page = signed_in(viewport={"width": 390, "height": 844}).new_page()
    open_page(page, server.url)
    page.get_by_test_id("stExpandSidebarButton").click()
    sidebar = page.get_by_test_id("stSidebar")
    expect(sidebar).to_have_attribute("data-collapsed", "false")
    page.get_by_test_id("stSidebarNavLink").filter(has_text="Environment").click()
    expect(page.get_by_role("heading", name="Environment", exact=True)).to_be_visible()
    expect(sidebar).to_have_attribute("data-collapsed", "true")


def test_a_sign_out_removes_the_data_from_every_tab(signed_in: NewContext, server: Server) -> None:
    context = signed_in()
    page, other = context.new_page(), context.new_page()
    for tab in (page, other):
        open_page(tab, server.url)
        expect(tab.get_by_test_id("stMetric").first).to_be_visible()
    page.get_by_role("button", name="Sign out").click()
    for tab in (page, other):
        expect(tab.get_by_role("heading", name="Sign in")).to_be_visible()
    page.go_back()
    expect(page.get_by_role("heading", name="Sign in")).to_be_visible()
    expect(page.get_by_test_id("stMetric")).to_have_count(0)


def test_the_dialog_of_a_lost_connection_is_translated(signed_in: NewContext, server: Server) -> None:
    page = signed_in(locale="ko-KR").new_page()
    sockets: list[WebSocketRoute] = []

    def keep(socket: WebSocketRoute) -> None:
        socket.connect_to_server()
        sockets.append(socket)

    page.route_web_socket("**/_stcore/stream", keep)
    open_page(page, f"{server.url}/environment")
    page.route("**/_stcore/**", lambda route: route.abort())
    sockets[-1].close()
    dialog = page.get_by_role("dialog", name="대시보드에 연결할 수 없습니다")
    expect(dialog).to_be_visible()
    assert "Streamlit" not in dialog.inner_text()
    # The login ended in the meantime: the server refuses the page, which shows no data any more.
    page.unroute("**/_stcore/**")
    page.context.clear_cookies()
    expect(page.locator("input[type=password]")).to_be_visible()
