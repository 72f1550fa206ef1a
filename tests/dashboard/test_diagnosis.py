"""The debug route and the Environment page on the dashboard."""

from __future__ import annotations

import http.client
import json
import socket
import time
import urllib.request
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from urllib.parse import quote, urlsplit

import psycopg2
import pytest
import streamlit
from dashboard_support import Server, texts
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from support import a_call, eventually, run, value, with_role
from test_reports import reader_of

from tracker import Tracker
from tracker.diagnostics.checklist import ITEM_TITLES

StartDashboard = Callable[..., Server]
ROUTE = "/api/debug/token-tracking"
KEYS = {"environment", "database", "tokenUsage", "recommendations"}


def test_the_route_answers_on_the_dashboards_port(start_dashboard: StartDashboard, database_url: str) -> None:
    server = start_dashboard(database_url, NODE_ENV="development")
    status, body = server.get(ROUTE)
    assert (status, set(json.loads(body)) >= KEYS) == (200, True)
    assert json.loads(body)["environment"]["NODE_ENV"] == "development"
    assert server.get(ROUTE, "POST")[0] == 405
    run(database_url, "ALTER TABLE token_usage RENAME TO hidden")
    eventually(lambda: server.get(ROUTE)[0] == 503)


def test_the_route_keeps_to_the_token_rule(start_dashboard: StartDashboard, database_url: str) -> None:
    server = start_dashboard(database_url, TRACKER_DEBUG_TOKEN="t0ken")
    status, body = server.get(ROUTE)
    assert (status, json.loads(body)["error"]) == (401, "unauthorized")
    request = urllib.request.Request(server.url + ROUTE, headers={"Authorization": "Bearer t0ken"})
    with urllib.request.urlopen(request, timeout=20) as response:
        assert response.status == 200


def test_deployed_without_a_token_nobody_is_let_in(start_dashboard: StartDashboard, database_url: str) -> None:
    assert start_dashboard(database_url, TRACKER_PLATFORM="render").get(ROUTE)[0] == 401


def test_a_hundred_calls_at_once_keep_the_dashboard_within_its_connections(
    start_dashboard: StartDashboard, database_url: str, server_url: str
) -> None:
    server = start_dashboard(database_url)
    most = 0
    with ThreadPoolExecutor(100) as pool, closing(psycopg2.connect(server_url)) as watching:
        watching.autocommit = True
        calls = [pool.submit(server.get, ROUTE) for _ in range(100)]
        while not all(call.done() for call in calls):
            with watching.cursor() as cursor:
                cursor.execute(
                    "SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'token-tracker d%%'"
                    " AND datname = %s",
                    (psycopg2.extensions.parse_dsn(database_url)["dbname"],),
                )
                most = max(most, cursor.fetchone()[0])  # type: ignore[index]
    assert {call.result()[0] for call in calls} == {200}
    assert most <= 5


def test_the_route_answers_in_time_when_the_database_never_does(start_dashboard: StartDashboard) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        server = start_dashboard(f"postgresql://u@127.0.0.1:{silent.getsockname()[1]}/app?sslmode=disable")
        began = time.monotonic()
        status, body = server.get(ROUTE)
        assert time.monotonic() - began < 10.5
        assert status == 503
        assert json.loads(body)["recommendations"]


@pytest.mark.direct
def test_a_report_leaves_the_pool_no_larger_and_usable(database_url: str) -> None:
    reader = reader_of(database_url)
    reader.check()
    with reader.reserve_connection():
        assert reader.pool_use().used == 1
        assert value(database_url, "SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE '%dashboard%'"
                     " AND datname = current_database()") == 0  # fmt: skip
    reader.check()
    reader.close()


def test_the_page_shows_the_verdict_and_the_checklist(open_page, database_url):
    app = open_page(database_url, "environment.py")
    shown = texts(app)
    assert "This process can record calls." in shown
    assert all(title in shown for title in ITEM_TITLES)


def test_the_page_names_the_cause_and_the_remedy(open_page, empty_database_url):
    shown = texts(open_page(empty_database_url, "environment.py"))
    assert "This process can't record calls." in shown
    assert "The table token_usage isn't there." in shown
    assert "token-tracker migrate" in shown


def test_run_all_checks_seven_items_and_leaves_nothing(open_page, database_url, monkeypatch):
    # The page asks the port that it is itself served on; whoever runs a dashboard on the usual one isn't meant.
    monkeypatch.setattr(
        streamlit, "get_option", lambda name, get=streamlit.get_option: 1 if name == "server.port" else get(name)
    )
    app = open_page(database_url, "environment.py")
    app.button(key="run_checklist").click().run()
    items = app.session_state["checklist"]
    states = {item.title: item.status for item in items}
    # No server runs under this test, so the route can't answer; the others can be checked.
    assert states.pop(ITEM_TITLES[5]) == "failed"
    assert set(states.values()) == {"passed"}, texts(app)
    assert value(database_url, "SELECT count(*) FROM token_usage") == 0


def test_here_and_there_stand_side_by_side(open_page, database_url):
    app = open_page(database_url, "environment.py")
    app.session_state["deployed_report"] = {
        "environment": {"VERCEL": "1", "DATABASE_URL_SET": False},
        "database": {"connectionStatus": "failed", "tableExists": False},
        "tokenUsage": {"recent": [], "total": 0, "recentUsers": []},
        "recommendations": ["<b>Set</b> [DATABASE_URL](javascript:x)"],
    }
    app.run()
    shown = [text.value for text in app.text]
    position = shown.index("environment.DATABASE_URL_SET")
    assert [line.partition(":")[0] for line in shown[position + 1 : position + 3]] == ["This process", "Deployment"]
    differences = texts(app).partition("difference")[2]
    assert ":red[:material/error:]" in differences
    # What another server says is text, never Markdown.
    assert "<b>Set</b> [DATABASE_URL](javascript:x)" in shown


def test_an_address_that_cannot_be_fetched_is_a_sentence(open_page, database_url):
    app = open_page(database_url, "environment.py")
    app.text_input[0].set_value("http://127.0.0.1:1/")
    next(button for button in app.button if button.label == "Compare").click().run()
    assert "only on request" in texts(app)


def test_no_secret_is_on_the_page_of_a_broken_place(open_page, database_url):
    secret = "s3cr%t/pä$$:w?rd#@&=+"
    app = open_page(with_role(database_url, "nobody_of_this_name", secret), "environment.py")
    shown = texts(app) + json.dumps([frame.value.to_dict() for frame in app.dataframe], default=str)
    assert "user nobody_of_this_name" in shown
    assert secret not in shown


def test_the_row_of_an_app_is_counted_in_the_route(start_dashboard: StartDashboard, database_url: str) -> None:
    with Tracker(mode="direct", database_url=database_url) as recorder:
        recorder.record(a_call(user_id="u_42"))
    status, body = start_dashboard(database_url).get(ROUTE)
    assert (status, json.loads(body)["tokenUsage"]["total"]) == (200, 1)
    assert "u_42" not in body


NAMES = st.text("abcdefghijklmnopqrstuvwxyz-", min_size=1, max_size=20)
VALUES = st.text([chr(code) for code in (*range(32, 127), *range(161, 256))], max_size=100)


def test_no_request_at_the_server_is_an_error_of_ours(start_dashboard: StartDashboard, database_url: str) -> None:
    server = start_dashboard(database_url)
    place = urlsplit(server.url)

    @hypothesis_settings(max_examples=150)
    @given(
        method=st.sampled_from(["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "BREW"]),
        path=st.sampled_from([ROUTE, ROUTE + "/", "/api/health", "/api/nothing", "/api/debug", "/api"]),
        query=VALUES,
        headers=st.dictionaries(NAMES.map(lambda name: f"x-{name}"), VALUES, max_size=8),
        authorization=st.none() | VALUES,
        host=st.none() | NAMES,
        size=st.sampled_from([0, 1, 1000, 100_000]),
    )
    def ask(method, path, query, headers, authorization, host, size):
        connection = http.client.HTTPConnection(place.hostname or "", place.port, timeout=20)
        with closing(connection):
            given_headers = {**headers, "Content-Length": str(size)}
            given_headers |= {"Authorization": authorization} if authorization is not None else {}
            given_headers |= {"Host": host} if host else {}
            connection.request(method, f"{path}?{quote(query)}", b"{" * size, given_headers)
            response = connection.getresponse()
            body = response.read()
        assert response.status in {200, 307, 400, 401, 404, 405, 421, 429}
        assert b"Traceback" not in body
        assert response.status not in {401, 421} or host

    ask()
    assert value(database_url, "SELECT count(*) FROM token_usage") == 0
