"""Saved views: storage, privileges, and a view that one reader saves and another one opens."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable
from contextlib import closing

import pytest
from dashboard_support import READY, Execute, Server, open_page
from playwright.sync_api import Page, expect
from support import connect, rows, run, value, with_role
from tabs import Tabs

from tracker.audit.table_rights import WRITES
from tracker.cli import main
from tracker.saved_views import (
    MAX_VIEWS,
    SAVED_VIEWS,
    SavedView,
    clean_name,
    delete_view,
    read_access,
    read_views,
    save_view,
)

EVIL = "![x](http://evil.invalid/a.png) :red[<b>'\"] 한국어 🎉"


def a_view(name: str = "mine", **parameters: str) -> SavedView:
    return SavedView(name, "explorer", parameters or {"rows": "user"}, "ann@example.com")


@pytest.mark.parametrize("name", ["a", "한" * 80, EVIL, "👩‍💻", "Robert'); DROP TABLE token_usage;--"])
def test_any_text_of_up_to_80_characters_is_a_name(name: str, database_url: str, connection: object) -> None:
    assert clean_name(f"  {name}\n") == name
    rights = read_access(connection, None)
    assert save_view(connection, rights, a_view(name, range="7d")) == "saved"
    [stored] = read_views(connection, rights)
    assert (stored.name, stored.page, stored.parameters) == (name, "explorer", {"range": "7d"})
    assert stored.saved_by == "ann@example.com"
    assert stored.saved_at is not None


@pytest.mark.parametrize("text", ["", " \t\n", "\u200b\u200d", "\u202e", "x" * 81])
def test_a_blank_or_long_text_is_no_name(text: str) -> None:
    assert clean_name(text) is None


def test_a_view_is_replaced_only_on_request_and_deleted_once(database_url: str, connection: object) -> None:
    rights = read_access(connection, None)
    assert save_view(connection, rights, a_view()) == "saved"
    assert save_view(connection, rights, a_view(rows="model")) == "exists"
    assert read_views(connection, rights)[0].parameters == {"rows": "user"}
    assert save_view(connection, rights, a_view(rows="model"), replace=True) == "saved"
    assert [view.parameters for view in read_views(connection, rights)] == [{"rows": "model"}]
    assert delete_view(connection, rights, "mine")
    assert not delete_view(connection, rights, "mine")
    assert save_view(connection, rights, a_view(), replace=True) == "saved"


def test_two_tabs_that_save_the_same_name_store_it_once(database_url: str) -> None:
    results: list[str] = []

    def save() -> None:
        with closing(connect(database_url)) as own:
            barrier.wait()
            results.append(save_view(own, read_access(own, None), a_view()))

    barrier = threading.Barrier(4)
    threads = [threading.Thread(target=save) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(results) == ["exists", "exists", "exists", "saved"]
    assert value(database_url, f"SELECT count(*) FROM {SAVED_VIEWS}") == 1


def test_the_number_of_views_is_limited(database_url: str, connection: object) -> None:
    numbers = f"generate_series(1, {MAX_VIEWS})"
    run(
        database_url,
        f"INSERT INTO {SAVED_VIEWS} (name, page, parameters) SELECT n, 'explorer', '{{}}' FROM {numbers} n",
    )
    rights = read_access(connection, None)
    assert save_view(connection, rights, a_view("one more")) == "full"
    assert save_view(connection, rights, a_view("7"), replace=True) == "saved"
    assert len(read_views(connection, rights)) == MAX_VIEWS


@pytest.mark.parametrize("stored", ["[]", '"text"', "null", '{"range": {"a": 1}, "rows": 5}'])
def test_stored_values_that_are_not_texts_are_ignored(stored: str, database_url: str, connection: object) -> None:
    run(database_url, f"INSERT INTO {SAVED_VIEWS} (name, page, parameters) VALUES ('odd', 'nowhere', '{stored}')")
    assert read_views(connection, read_access(connection, None))[0].parameters == {}


def test_the_table_is_optional(database_url: str, connection: object, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", database_url)
    run(database_url, f"DROP TABLE {SAVED_VIEWS}")
    assert not read_access(connection, None).exists(SAVED_VIEWS)
    assert main(["migrate"]) == 0
    assert save_view(connection, read_access(connection, None), a_view()) == "saved"


def test_a_role_gets_the_statement_that_lets_it_save(database_url: str, new_role: Callable[..., str]) -> None:
    role = new_role()
    run(database_url, f"GRANT SELECT ON token_usage, {SAVED_VIEWS} TO {role}")
    with closing(connect(with_role(database_url, role))) as limited:
        rights = read_access(limited, None)
        assert read_views(limited, rights) == []
        assert not rights.allows(SAVED_VIEWS, WRITES)
        run(database_url, rights.grant(SAVED_VIEWS, WRITES))
        assert save_view(limited, read_access(limited, None), a_view()) == "saved"


# --- in a browser -------------------------------------------------------------------------------------------------


def open_dialog(page: Page) -> None:
    page.wait_for_selector(READY)
    page.get_by_test_id("stSidebar").get_by_role("button", name="Views").click()
    expect(page.get_by_role("dialog")).to_be_visible()


@pytest.mark.browser
def test_a_reader_saves_a_view_that_another_one_opens(
    start_dashboard: Callable[..., Server], database_url: str, call: Execute, tabs: Tabs
) -> None:
    call(model="gpt-5")
    server = start_dashboard(database_url)
    address = re.compile(r"/explorer\?(?=.*range=7d)(?=.*rows=operation)(?=.*measure=calls)(?=.*model=gpt-5)")
    page = tabs.open(locale="en-US")
    open_page(page, server.url + "/explorer?range=7d&rows=operation&measure=calls&model=gpt-5")
    open_dialog(page)
    page.get_by_label("Save the present view as").fill(EVIL)
    page.get_by_role("dialog").get_by_role("button", name="Save", exact=True).click()
    expect(page.get_by_text("🎉 is saved.")).to_be_visible()
    page.get_by_label("Save the present view as").fill(EVIL)
    page.get_by_role("dialog").get_by_role("button", name="Save", exact=True).click()
    expect(page.get_by_text("A view with this name exists")).to_be_visible()
    expect(page.get_by_text("🎉 is saved.")).to_have_count(0)
    page.get_by_role("button", name="Replace the view").click()
    expect(page.get_by_text("🎉 is saved.")).to_be_visible()
    [(name, parameters)] = rows(database_url, f"SELECT name, parameters FROM {SAVED_VIEWS}")
    assert name == EVIL
    assert parameters == {"range": "7d", "rows": "operation", "measure": "calls", "model": "gpt-5"}

    other = tabs.open(locale="en-US")
    open_page(other, server.url + "/?range=24h&operation=chat")
    open_dialog(other)
    other.get_by_role("button", name="Open the view").click()
    expect(other).to_have_url(address)
    expect(other).not_to_have_url(re.compile("operation=chat"))
    expect(other.get_by_role("heading", name="Explorer", exact=True)).to_be_visible()
    open_page(other, server.url + "/explorer?range=24h&rows=user")
    open_dialog(other)
    other.get_by_role("button", name="Open the view").click()
    expect(other).to_have_url(address)
    open_dialog(other)
    other.get_by_role("button", name="Delete", exact=True).click()
    other.get_by_role("button", name="Delete the view").click()
    expect(other.get_by_text("No view is saved yet.")).to_be_visible()
    assert value(database_url, f"SELECT count(*) FROM {SAVED_VIEWS}") == 0
    assert server.unforeseen() == ""


@pytest.mark.browser
def test_a_dashboard_without_changes_or_without_the_table_states_why(
    start_dashboard: Callable[..., Server], database_url: str, connection: object, call: Execute, tabs: Tabs
) -> None:
    call(model="gpt-5")
    for name in ("first", "second"):
        save_view(connection, read_access(connection, None), a_view(name))
    server = start_dashboard(database_url, TRACKER_DASHBOARD_WRITE="false")
    page = tabs.open(locale="en-US")
    open_page(page, server.url)
    open_dialog(page)
    expect(page.get_by_text("Prices, budgets and views can't be changed")).to_be_visible()
    expect(page.get_by_role("button", name="Open the view")).to_be_visible()
    expect(page.get_by_label("Save the present view as")).to_have_count(0)
    expect(page.get_by_role("button", name="Delete", exact=True)).to_have_count(0)
    run(database_url, f"DELETE FROM {SAVED_VIEWS} WHERE name = 'first'")  # by another reader
    address = page.url
    page.get_by_role("button", name="Open the view").click()
    expect(page.get_by_text("The view first no longer exists.")).to_be_visible()
    assert page.url == address
    run(database_url, f"DROP TABLE {SAVED_VIEWS}")
    open_page(page, server.url)
    open_dialog(page)
    expect(page.get_by_role("dialog").get_by_text("token-tracker migrate")).to_be_visible()
    assert server.unforeseen() == ""
