"""The auth middleware with a real server: pages, WebSockets, and deep links, with and without a sign-in."""

from __future__ import annotations

import asyncio
import http.client
import json
import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import websockets
from dashboard_support import PAGES, READY, Server, free_port, open_page, start_server
from oidc_support import Provider, provider, secrets_toml
from playwright.sync_api import Browser, Page, expect
from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
from support import eventually, rows, run
from tabs import Tabs

from tracker.auth.logins import Logins
from tracker.auth.password_hash import hash_password
from tracker.auth.signed_links import SignedLinks
from tracker.reports import Filters
from tracker.reports.ai_calls.call_log import CallSearch, search_as_json
from tracker.reports.ai_calls.export_app import EXPORT_PATH

PASSWORD = "correct horse battery"
PASSWORD_HASH = str(hash_password(PASSWORD))
FIGURES = ("Connections", "Tokens", "secret-model")
Start = Callable[..., Server]


@pytest.fixture
def start(database_url: str) -> Iterator[Start]:
    """Starts the dashboard on a database with one call, from a directory of its own."""
    run(
        database_url,
        "INSERT INTO token_usage (model, input_tokens, output_tokens, total_tokens) VALUES ('secret-model', 1, 1, 2)",
    )
    started: list[Server] = []

    def start_it(*arguments: str, **env: str) -> Server:
        started.append(start_server({"DATABASE_URL": database_url, **env}, *arguments))
        return started[-1]

    yield start_it
    for server in started:
        server.process.terminate()
        server.process.wait(timeout=20)


def ask(server: Server, path: str, **headers: str) -> tuple[int, str]:
    """A request with these headers, Host among them; `_` stands for `-`."""
    connection = http.client.HTTPConnection(urlsplit(server.url).netloc, timeout=20)
    given = {name.replace("_", "-"): text for name, text in headers.items()}
    connection.putrequest("GET", path, skip_host="host" in given)
    for name, text in given.items():
        connection.putheader(name, text)
    connection.endheaders()
    answer = connection.getresponse()
    found = answer.status, answer.read().decode("utf-8", "replace")
    connection.close()
    return found


def shown_to(server: Server, path: str = "connections", **headers: str) -> str | None:
    """Every text that a bare websocket client is sent for a page; None where the handshake is refused."""
    given = {name.replace("_", "-"): text for name, text in headers.items()}
    return asyncio.run(_shown_to(urlsplit(server.url).netloc, path, given))


async def _shown_to(place: str, path: str, headers: dict[str, str]) -> str | None:
    url = f"ws://{headers.pop('host', place)}/_stcore/stream"
    host, _, port = place.partition(":")
    connect = websockets.connect(
        url,
        host=host,
        port=int(port),
        additional_headers=headers,
        subprotocols=[websockets.Subprotocol("streamlit")],
    )
    try:
        async with connect as client:
            asked = BackMsg()
            asked.rerun_script.page_name = path
            asked.rerun_script.page_script_hash = ""
            await client.send(asked.SerializeToString())
            texts = []
            while True:
                message = ForwardMsg()
                message.ParseFromString(await asyncio.wait_for(client.recv(decode=False), 20))
                texts.append(str(message))
                if message.WhichOneof("type") == "script_finished":
                    return "\n".join(texts)
    except websockets.exceptions.InvalidStatus as refused:
        assert refused.response.status_code == 403
        return None


def signed_in(server: Server, password: str = PASSWORD) -> str | None:
    """The cookie that the sign-in gives, if it does."""
    connection = http.client.HTTPConnection(urlsplit(server.url).netloc, timeout=20)
    body = f"password={password.replace(' ', '+')}&next=/connections"
    connection.request("POST", "/auth/login", body, {"Content-Type": "application/x-www-form-urlencoded"})
    answer = connection.getresponse()
    answer.read()
    connection.close()
    return (answer.headers["Set-Cookie"] or "").partition(";")[0] or None


# --- nothing set up -----------------------------------------------------------------------------------------------


def test_without_a_sign_in_the_loopback_serves_this_machine_only(start: Start) -> None:
    server = start()
    assert ask(server, "/connections", accept="text/html")[0] == 200
    assert "Connections" in (shown_to(server) or "")
    for through_a_proxy in ({"host": "tokens.example.com"}, {"x_forwarded_for": "192.0.2.7"}):
        status, page = ask(server, "/connections", accept="text/html", **through_a_proxy)
        assert (status, "No sign-in configured" in page) == (403, True)
        assert shown_to(server, **through_a_proxy) is None
    assert ask(server, "/api/health", host="evil.example")[0] == 421
    assert ask(server, "/api/health", origin="http://evil.example")[0] == 403
    assert shown_to(server, origin="http://localhost:3000") is None


def test_a_reachable_server_without_a_sign_in_refuses_every_request(start: Start) -> None:
    server = start(STREAMLIT_SERVER_ADDRESS="0.0.0.0")
    for path in ("/", "/connections", "/no/such/page"):
        status, page = ask(server, path, accept="text/html")
        assert (status, "TRACKER_DASHBOARD_PASSWORD_HASH" in page) == (403, True)
        assert not any(word in page for word in FIGURES)
    for path in ("/static/js/x.js", "/_stcore/host-config", "/_stcore/metrics", "/media/x"):
        status, answer = ask(server, path)
        assert (status, json.loads(answer)["error"]) == (403, "closed")
    assert shown_to(server) is None
    assert ask(server, "/api/health") == (200, '{"status":"ok"}')
    assert ask(server, "/_stcore/health")[0] == 200


def test_the_open_setting_allows_every_request(start: Start) -> None:
    server = start(STREAMLIT_SERVER_ADDRESS="0.0.0.0", TRACKER_DASHBOARD_OPEN="true")
    assert ask(server, "/connections", accept="text/html", host="tokens.example.com")[0] == 200
    assert "Connections" in (shown_to(server) or "")
    prices = shown_to(server, "prices") or ""
    assert "because the dashboard has no sign-in" in prices
    assert "secret-model" in prices
    assert "Save the price" not in prices
    assert "Save the budget" not in prices


def test_the_shell_without_the_middleware_denies_access(start: Start) -> None:
    server = start(STREAMLIT_SERVER_ADDRESS="0.0.0.0", _SCRIPT="pages/shell.py")
    shown = shown_to(server) or ""
    assert "Access denied" in shown
    assert not any(word in shown for word in FIGURES)


# --- the password -------------------------------------------------------------------------------------------------


def test_the_password_protects_pages_files_and_websockets(start: Start) -> None:
    server = start(TRACKER_DASHBOARD_PASSWORD_HASH=PASSWORD_HASH)
    assert ask(server, "/connections", accept="text/html")[0] == 401
    assert shown_to(server) is None
    assert signed_in(server, "not the password") is None
    cookie = signed_in(server)
    assert cookie is not None
    assert ask(server, "/connections", accept="text/html", cookie=cookie)[0] == 200
    assert "Connections" in (shown_to(server, cookie=cookie) or "")
    assert ask(server, "/auth/logout", cookie=cookie)[0] == 303
    assert shown_to(server, cookie=cookie) is None


def test_an_export_under_a_base_path_needs_a_login_and_a_link_of_this_dashboard(start: Start) -> None:
    server = start(_BASE="/tokens", TRACKER_DASHBOARD_PASSWORD_HASH=PASSWORD_HASH)
    day = Filters(start=datetime.now(UTC) - timedelta(days=1), end=datetime.now(UTC) + timedelta(days=1))
    content = search_as_json(day, CallSearch())
    cookie = f"token_tracker_session={Logins(PASSWORD_HASH).create()}"
    path = f"/tokens{EXPORT_PATH}?{SignedLinks(PASSWORD_HASH).create(EXPORT_PATH, content)}"
    status, text = ask(server, path, cookie=cookie)
    assert (status, "secret-model" in text) == (200, True)
    assert ask(server, path)[0] == 401
    assert ask(server, path, cookie=cookie, origin="http://evil.example")[0] == 403
    other = f"/tokens{EXPORT_PATH}?{SignedLinks('another secret').create(EXPORT_PATH, content)}"
    status, text = ask(server, other, cookie=cookie)
    assert (status, "secret-model" in text) == (403, False)
    for undeclared in ("/tokens/exports/users.csv", "/api/new"):
        assert ask(server, undeclared, cookie=cookie)[0] == 404


def test_the_secrets_of_streamlit_are_read_too(start: Start, tmp_path: Path) -> None:
    """What Streamlit Community Cloud calls its secrets: names at the top of a secrets.toml are variables as well."""
    secrets = tmp_path / "secrets.toml"
    secrets.write_text(f'TRACKER_PLATFORM = "server"\nTRACKER_DASHBOARD_PASSWORD_HASH = "{PASSWORD_HASH}"\n')
    server = start("--secrets.files", str(secrets))
    assert ask(server, "/", accept="text/html")[0] == 401
    assert signed_in(server)


def test_unreadable_secrets_refuse_every_request(start: Start, tmp_path: Path) -> None:
    secrets = tmp_path / "secrets.toml"
    secrets.write_text("[auth\nclient_id = ")
    server = start("--secrets.files", str(secrets))
    status, page = ask(server, "/", accept="text/html")
    assert (status, "refuses every request" in page) == (403, True)
    assert shown_to(server) is None


def test_a_login_survives_a_restart(start: Start) -> None:
    cookie = signed_in(start(TRACKER_DASHBOARD_PASSWORD_HASH=PASSWORD_HASH))
    again = start(TRACKER_DASHBOARD_PASSWORD_HASH=PASSWORD_HASH)
    assert cookie is not None
    assert ask(again, "/", accept="text/html", cookie=cookie)[0] == 200


@pytest.mark.browser
def test_a_user_signs_in_at_a_deep_link_reloads_and_signs_out(start: Start, tabs: Tabs) -> None:
    server = start(TRACKER_DASHBOARD_PASSWORD_HASH=PASSWORD_HASH)
    page = tabs.open(locale="en-US")
    page.goto(server.url + "/connections?range=7d")
    expect(page.get_by_role("heading", name="Sign in")).to_be_visible()
    sign_in(page, "wrong password")
    expect(page.get_by_role("alert")).to_have_text("Wrong password.")
    sign_in(page, PASSWORD)
    page.wait_for_selector(READY, timeout=60_000)
    expect(page.get_by_role("heading", name="Connections", exact=True)).to_be_visible()
    page.reload()
    page.wait_for_selector(READY, timeout=60_000)
    other = page.context.new_page()
    open_page(other, server.url)
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_role("heading", name="Sign in")).to_be_visible(timeout=20_000)
    # What another tab had open is cut too, not only what it asks next.
    other.wait_for_selector('[data-test-connection-state="CONNECTED"]', state="detached", timeout=20_000)


def sign_in(page: Page, password: str) -> None:
    page.get_by_label("Password").fill(password)
    page.get_by_role("button", name="Sign in").click()


@pytest.mark.browser
def test_the_auth_pages_are_translated(start: Start, tabs: Tabs) -> None:
    server = start(TRACKER_DASHBOARD_PASSWORD_HASH=PASSWORD_HASH)
    page = tabs.open(locale="ko-KR")
    page.goto(server.url)
    expect(page.get_by_role("button", name="로그인")).to_be_visible()
    assert page.locator("html").get_attribute("lang") == "ko"


# --- st.login -----------------------------------------------------------------------------------------------------


@pytest.fixture
def identity() -> Iterator[Provider]:
    with provider() as running:
        yield running


@pytest.fixture
def with_login(start: Start, identity: Provider, tmp_path: Path) -> Start:
    """Starts the dashboard with a provider in its secrets."""

    def start_it(**env: str) -> Server:
        port = free_port()
        secrets = tmp_path / "secrets.toml"
        secrets.write_text(secrets_toml(identity, f"http://127.0.0.1:{port}"))
        return start("--secrets.files", str(secrets), _PORT=str(port), **env)

    return start_it


def test_with_st_login_a_websocket_without_a_login_shows_no_data(with_login: Start) -> None:
    server = with_login()
    for path in ("", "connections", "explorer", "shell", "_gate"):
        shown = shown_to(server, path) or ""
        assert "Sign in to see this dashboard." in shown
        assert not any(re.search(rf"\b{word}\b", shown) for word in FIGURES)
    assert ask(server, "/_stcore/metrics")[0] == 403


@pytest.mark.browser
def test_a_user_signs_in_with_a_provider_and_signs_out(
    with_login: Start, identity: Provider, tabs: Tabs, database_url: str
) -> None:
    server = with_login(TRACKER_DASHBOARD_USERS="ann@example.com @example.org")
    page = tabs.open(locale="en-US")
    open_page(page, server.url + "/connections")
    expect(page.get_by_text("Sign in to see this dashboard.")).to_be_visible()
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_text("ann@example.com")).to_be_visible(timeout=30_000)
    open_page(page, server.url + "/connections")
    expect(page.get_by_role("heading", name="Connections", exact=True)).to_be_visible()
    open_page(page, server.url + "/calls")
    with page.expect_download() as download:
        page.get_by_role("link", name="Export (CSV)").click()
    assert "secret-model" in Path(download.value.path()).read_text("utf-8")
    open_page(page, server.url + "/prices?price_model=secret-model")
    for label in ("Input", "Output"):
        page.get_by_label(label, exact=True).fill("1.25")
    page.get_by_role("button", name="Save the price").click()
    expect(page.get_by_text("The price of secret-model is saved.")).to_be_visible(timeout=30_000)
    assert rows(database_url, "SELECT access, changed_by FROM token_tracker_setting_changes") == [
        ("login", "ann@example.com")
    ]
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_text("Sign in to see this dashboard.")).to_be_visible(timeout=30_000)
    identity.email = "stranger@example.com"
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_text("This account has no access to the dashboard")).to_be_visible(timeout=30_000)
    assert not any(word in page.get_by_test_id("stApp").inner_text() for word in FIGURES)


# --- the browser's side -------------------------------------------------------------------------------------------


@pytest.mark.browser
def test_the_content_security_policy_allows_each_page_and_blocks_other_origins(start: Start, browser: Browser) -> None:
    server = start()
    page = browser.new_page()
    said: list[str] = []
    page.on("console", lambda message: said.append(message.text))
    page.add_init_script(
        "addEventListener('securitypolicyviolation', e => console.error('Content Security Policy', e.blockedURI))"
    )
    for path in PAGES:
        open_page(page, f"{server.url}/{path}")
        page.wait_for_load_state("networkidle")
    assert [text for text in said if "Content Security Policy" in text] == []
    asked = "fetch('http://127.0.0.1:9/').then(() => 'sent', error => String(error))"
    assert "Failed to fetch" in page.evaluate(asked)
    eventually(lambda: any("Content Security Policy" in text for text in said))
