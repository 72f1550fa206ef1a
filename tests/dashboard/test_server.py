"""The dashboard as a process: its JSON routes, and a reader with a real browser."""

from __future__ import annotations

import json
import os
import signal
import socket
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from dashboard_support import Server, metric, open_page
from playwright.sync_api import expect
from support import connect, eventually, run, value
from tabs import Tabs

from tracker.database.migrate import migrate

StartDashboard = Callable[..., Server]


def test_health_follows_the_database(start_dashboard: StartDashboard, empty_database_url: str) -> None:
    server = start_dashboard(empty_database_url, command=True)
    status, body = server.get("/api/health")
    assert (status, json.loads(body)) == (503, {"status": "unavailable", "reason": "table_missing"})
    migrate(lambda: connect(empty_database_url))
    eventually(lambda: server.get("/api/health") == (200, '{"status":"ok"}'))


def test_health_tells_no_secret_when_nothing_answers(start_dashboard: StartDashboard) -> None:
    server = start_dashboard("postgresql://someone:hunter2@127.0.0.1:1/app")
    status, body = server.get("/api/health")
    assert (status, json.loads(body)["reason"]) == (503, "refused")
    assert not any(secret in body for secret in ("hunter2", "someone", "127.0.0.1"))


def test_health_answers_in_seconds_when_the_database_never_does(start_dashboard: StartDashboard) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        server = start_dashboard(f"postgresql://u@127.0.0.1:{silent.getsockname()[1]}/app?sslmode=disable")
        began = time.monotonic()
        status, body = server.get("/api/health")
        assert time.monotonic() - began < 6
        assert (status, json.loads(body)["reason"]) == (503, "timeout")


def test_the_embedded_database_starts_with_the_dashboard_and_stops_with_it(
    start_dashboard: StartDashboard, short_directory: Path
) -> None:
    server = start_dashboard("", command=True, TRACKER_EMBEDDED_DIR=str(short_directory))
    assert server.get("/api/health") == (200, '{"status":"ok"}')
    assert list(short_directory.rglob("postmaster.pid"))
    server.process.terminate()
    server.process.wait(timeout=20)
    assert not list(short_directory.rglob("postmaster.pid"))


def test_an_embedded_database_that_was_killed_is_started_again_without_a_page_open(
    start_dashboard: StartDashboard, short_directory: Path
) -> None:
    server = start_dashboard("", command=True, TRACKER_EMBEDDED_DIR=str(short_directory))
    assert server.get("/api/health")[0] == 200
    (pid_file,) = short_directory.rglob("postmaster.pid")
    os.kill(int(pid_file.read_text().splitlines()[0]), signal.SIGKILL)
    eventually(lambda: server.get("/api/health")[0] == 503)
    eventually(lambda: server.get("/api/health")[0] == 200, within_s=30)


def test_health_accepts_no_other_method_and_an_unknown_path_is_a_json_404(
    start_dashboard: StartDashboard, database_url: str
) -> None:
    server = start_dashboard(database_url)
    for method in ("POST", "DELETE", "OPTIONS", "FOO"):
        request = urllib.request.Request(server.url + "/api/health", method=method)
        with pytest.raises(urllib.error.HTTPError) as caught:
            urllib.request.urlopen(request, timeout=20)
        with caught.value as answer:
            assert (answer.code, answer.headers["Allow"]) == (405, "GET, HEAD")
            assert json.loads(answer.read()) == {"error": "method not allowed"}
    assert server.get("/api/health", "HEAD") == (200, "")
    # An unknown path is a JSON 404 with each method.
    for method in ("GET", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "PROPFIND", "FOO"):
        for path in ("/api/nothing/here", "/api/", "/api"):
            status, body = server.get(path, method)
            assert (status, json.loads(body)["error"]) == (404, "not found"), (method, path)


@pytest.fixture
def short_directory() -> Iterator[Path]:
    """A directory whose path leaves room for the name of a socket."""
    with tempfile.TemporaryDirectory(prefix="tracker-dashboard-") as directory:
        yield Path(directory)


@pytest.mark.browser
def test_a_cold_deep_link_then_a_test_call_that_the_overview_shows(
    start_dashboard: StartDashboard, database_url: str, tabs: Tabs, tmp_path: Path
) -> None:
    server = start_dashboard(database_url)
    page = tabs.open(timezone_id="Asia/Seoul", locale="en-US")
    asked: set[str] = set()
    tabs.listen(page, "request", lambda request: asked.add(urlsplit(request.url).netloc))

    open_page(page, server.url + "/connections")
    expect(page.get_by_role("heading", name="Connections", exact=True)).to_be_visible()

    page.get_by_test_id("stSidebarNavLink").filter(has_text="Test recordings").click()
    page.get_by_role("button", name="AI summary").click()
    expect(metric(page, "Status")).to_contain_text("recorded")
    assert value(database_url, "SELECT operation FROM token_usage WHERE is_test") == "summary_generation"

    page.get_by_test_id("stSidebarNavLink").filter(has_text="Overview").click()
    expect(page.get_by_text("Only test recordings so far")).to_be_visible()
    page.get_by_test_id("stMain").get_by_role("button", name="Include tests", exact=True).click()
    expect(metric(page, "Tokens")).to_contain_text("976")
    expect(page.locator(".js-plotly-plot .main-svg").first).to_be_visible()
    assert "tests=true" in page.url
    assert asked == {urlsplit(server.url).netloc}


@pytest.mark.browser
def test_names_that_javascript_knows_already_break_no_chart(
    start_dashboard: StartDashboard, database_url: str, tabs: Tabs
) -> None:
    for name in ("constructor", "__proto__", "toString", "gpt"):
        insert = (
            "INSERT INTO token_usage (model, environment, input_tokens, output_tokens, total_tokens, cost,"
            " connection_ms, retry_count, delivery, instance_id, sequence)"
            " VALUES ('{0}', '{0}', 1, 1, 2, 1, 3, 0, 'direct', gen_random_uuid(), 1)"
        )
        run(database_url, insert.format(name))
    server = start_dashboard(database_url)
    page = tabs.open()
    broken: list[str] = []
    tabs.listen(page, "pageerror", lambda error: broken.append(str(error)))
    for path in ("/", "/performance"):
        open_page(page, server.url + path)
        for chart in range(2):
            drawn = page.locator(".js-plotly-plot").nth(chart)
            expect(drawn.locator(".main-svg").first).to_be_visible()
        assert broken == [], path


@pytest.mark.browser
def test_an_open_page_says_that_the_table_is_gone_and_recovers_by_itself(
    start_dashboard: StartDashboard, database_url: str, tabs: Tabs
) -> None:
    server = start_dashboard(database_url)
    page = tabs.open()
    run(database_url, "ALTER TABLE token_usage RENAME TO hidden")
    open_page(page, server.url)
    main = page.get_by_test_id("stMain")  # the sidebar says it too
    expect(main.get_by_text("The table token_usage isn't there.")).to_be_visible()
    run(database_url, "ALTER TABLE hidden RENAME TO token_usage")
    expect(main.get_by_text("Nothing recorded yet")).to_be_visible(timeout=30_000)
