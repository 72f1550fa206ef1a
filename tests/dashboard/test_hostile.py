"""Names from the database are text: they cause no requests to other origins and run no scripts."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import closing
from urllib.parse import quote, urlsplit

import psycopg2
import pytest
from dashboard_support import READY, Server, open_page, start_server
from playwright.sync_api import Page, expect
from psycopg2.extras import Json
from support import run, with_database
from tabs import Tabs

from tracker.database.migrate import migrate

pytestmark = pytest.mark.browser
# What Markdown, HTML, TeX and Streamlit's own directives would make something of.
NAMES = (
    "![x](http://evil.test/a.png)",
    "<script>window.pwned = 1</script><img src=http://evil.test/b.png onerror='window.pwned = 1'>",
    ":red[x] :material/home: $x^2$ `code` **bold** [link](http://evil.test/c)",
    "<b>http://evil.test/d</b>\n# heading\n```\nfence",
)
CALL = "01890000-0000-7000-8000-000000000001"
PATHS = (
    "?range=all",
    "?range=all&tokens=kind&model={name}",
    "explorer?range=all&rows=user&columns=model",
    "calls?range=all&call=" + CALL,
    "explorer?range=all&rows=operation&row={name}&call=" + CALL,
    "ai_sessions?range=all",
    "ai_sessions?range=all&session={name}",
    "connections",
    "performance?range=all",
    "environment",
    "recordings",
)


def fill(url: str) -> None:
    """Calls, an alert and a ledger's entry, all of hostile names."""
    with closing(psycopg2.connect(url)) as connection, connection, connection.cursor() as cursor:
        for number, name in enumerate(NAMES):
            call = CALL[:-1] + str(number + 1)
            cursor.execute(
                "INSERT INTO token_usage (id, created_at, user_id, session_id, provider, model, operation, environment,"
                " platform, region, deployment, error_message, success, metadata, input_tokens, output_tokens,"
                " total_tokens, delivery, connection_ms, retry_count, instance_id, sequence, is_test, cost_source)"
                " VALUES (%(id)s, now(), %(n)s, %(n)s, %(n)s, %(n)s, %(n)s, %(n)s, %(n)s, %(n)s, %(n)s, %(n)s, false,"
                " %(json)s, 10, 20, 30, 'direct', 2, 0, %(id)s, 3, false, %(n)s)",
                {"id": call, "n": name, "json": Json({name: name})},
            )
            cursor.execute(
                "INSERT INTO token_tracker_alerts (raised_at, reason, error, environment, deployment, platform)"
                " VALUES (now(), %(n)s, %(n)s, %(n)s, %(n)s, %(n)s)",
                {"n": name},
            )
            cursor.execute(
                "INSERT INTO token_tracker_unread (signal, scope, items) VALUES ('traces', %(n)s, 3), (%(n)s, '', 1)",
                {"n": name},
            )


@pytest.fixture(scope="module")
def server(server_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    name = f"tracker_hostile_{os.getpid()}"
    run(server_url, f"DROP DATABASE IF EXISTS {name}", f"CREATE DATABASE {name}")
    url = with_database(server_url, name)
    migrate(lambda: psycopg2.connect(url))  # type: ignore[arg-type,return-value]
    fill(url)
    holders = [psycopg2.connect(url, application_name=name[:60]) for name in NAMES if "\n" not in name]
    for holder in holders:
        with holder.cursor() as cursor:
            cursor.execute("SELECT %s", (NAMES[1],))  # stays idle in transaction, with its statement
    home = str(tmp_path_factory.mktemp("home"))
    # Its own surroundings are shown, too.
    env = {"VERCEL_ENV": NAMES[0], "VERCEL_REGION": NAMES[2], "TRACKER_PLATFORM": "local", "XDG_STATE_HOME": home}
    started = start_server({**env, "DATABASE_URL": url, "GEMINI_API_KEY": "", "NODE_ENV": NAMES[2]})
    yield started
    started.process.terminate()
    started.process.wait(timeout=20)
    for holder in holders:
        holder.close()
    run(server_url, f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")


def nobody_else_was_asked(page: Page, server: Server, asked: set[str]) -> None:
    own = urlsplit(server.url).netloc
    assert {urlsplit(url).netloc for url in asked if not url.startswith(("data:", "blob:"))} == {own}
    assert page.evaluate("window.pwned") is None
    made = "[src*='evil.test'], [href*='evil.test'], [style*='evil.test'], main h1 + h1, .katex"
    assert page.locator(made).count() == 0


@pytest.mark.parametrize("path", PATHS)
def test_hostile_names_cause_no_requests_and_no_scripts(server: Server, tabs: Tabs, path: str) -> None:
    page = tabs.open(locale="en-US", timezone_id="Asia/Seoul")
    asked: set[str] = set()
    tabs.listen(page, "request", lambda request: asked.add(request.url))
    for name in NAMES if "{name}" in path else NAMES[:1]:
        open_page(page, f"{server.url}/{path.replace('{name}', quote(name))}")
        expect(page.get_by_text("An unexpected error occurred")).to_have_count(0)
        page.get_by_test_id("stMain").get_by_test_id("stMarkdown").first.wait_for()
        page.wait_for_load_state("networkidle")
        nobody_else_was_asked(page, server, asked)
    assert server.unforeseen() == ""


def test_hostile_names_stay_text_in_tooltips_and_filters(server: Server, tabs: Tabs) -> None:
    page = tabs.open(locale="en-US", timezone_id="Asia/Seoul")
    asked: set[str] = set()
    tabs.listen(page, "request", lambda request: asked.add(request.url))
    open_page(page, f"{server.url}/explorer?range=all&rows=user")
    chart = page.locator(".js-plotly-plot").first
    chart.locator(".main-svg").first.wait_for()
    box = chart.bounding_box()
    assert box
    page.mouse.move(box["x"] + box["width"] * 0.5, box["y"] + 42)
    expect(page.locator(".tracker-chart-hover").first).to_be_visible()
    nobody_else_was_asked(page, server, asked)
    page.get_by_test_id("stMultiSelect").get_by_role("combobox").click()
    expect(page.get_by_role("option").first).to_be_visible()
    nobody_else_was_asked(page, server, asked)
    page.get_by_role("option").first.click()
    page.wait_for_selector(READY)
    nobody_else_was_asked(page, server, asked)
