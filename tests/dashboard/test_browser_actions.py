"""In a real browser: downloads, the call log, the end of a session, load tests, and test calls."""

from __future__ import annotations

import io
import os
from collections.abc import Callable
from pathlib import Path
from threading import Thread
from urllib.parse import urlsplit

import pandas as pd
import psycopg2
import pytest
from browser_support import eventually, go, query, select_first_row, settled
from dashboard_support import metric
from playwright.sync_api import Page, expect
from support import ROLE_PASSWORD, run, value, with_role

pytestmark = pytest.mark.browser


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
        page.get_by_role("link", name="Export (CSV)").click()
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
        eventually(lambda: int(metric(page, "Used").inner_text().split()[-1]) >= 2)
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
    run(sample_url, "DELETE FROM token_usage WHERE is_test")  # of other tests
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
