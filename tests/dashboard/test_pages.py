"""Every page with calls, without calls, without a table, and without a database."""

from __future__ import annotations

import re
import time
import tomllib
from collections import deque
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest
from dashboard_support import Execute, OpenPage, figures, texts
from support import a_call, connect, run, value, with_parameters
from traces_support import GENAI, app_on, export, post, span

from tracker import Tracker
from tracker.cli import main
from tracker.database.migrate import migrate

PAGES = (
    "overview.py",
    "explorer.py",
    "latency.py",
    "calls.py",
    "ai_sessions.py",
    "what_if.py",
    "connections.py",
    "performance.py",
    "environment.py",
    "recordings.py",
)


def test_overview_shows_totals_of_the_range(open_page: OpenPage, database_url: str, call: Execute) -> None:
    call(cost=Decimal("1.25"), user_id="a")
    call(cost=Decimal("0.75"), user_id="b", success=False, input_tokens=97_000_000)
    call(is_test=True)
    shown = figures(open_page(database_url))
    assert shown == {"Tokens": "97M", "Cost": "$2.00", "Calls": "2", "Errors": "50%", "Users": "2"}


def test_overview_tooltips_show_exact_counts(open_page: OpenPage, database_url: str, call: Execute) -> None:
    call(input_tokens=18_059_974, output_tokens=245_896)
    tokens = next(metric for metric in open_page(database_url).metric if metric.label == "Tokens")
    assert "18,305,870 tokens" in tokens.help


def test_overview_includes_tests_with_the_toggle(open_page: OpenPage, database_url: str, call: Execute) -> None:
    call(is_test=True)
    call()
    assert figures(open_page(database_url))["Calls"] == "1"
    assert figures(open_page(database_url, tests="true"))["Calls"] == "2"


def test_overview_never_shows_an_unknown_price_as_zero(open_page: OpenPage, database_url: str, call: Execute) -> None:
    call(model="my-finetune")
    assert figures(open_page(database_url))["Cost"] == "unpriced"
    call(cost=Decimal(3))
    app = open_page(database_url)
    assert figures(app)["Cost"] == "≥ $3.00"
    assert "1 call (120 tokens) has no price and is not in the cost: my-finetune." in texts(app)


def test_explorer_never_shows_an_unknown_price_as_zero(open_page: OpenPage, database_url: str, call: Execute) -> None:
    call(model="my-finetune")
    app = open_page(database_url, "explorer.py", measure="cost_usd")
    assert "No call in this range has a price." in texts(app)
    assert app.dataframe[0].value["total"].to_list() == ["unpriced"]
    call(cost=Decimal(3))
    assert open_page(database_url, "explorer.py", measure="cost_usd").dataframe[0].value["total"].to_list() == [
        "$3.00",
        "unpriced",
    ]


def test_each_table_of_calls_states_how_a_row_arrived(
    open_page: OpenPage, database_url: str, call: Execute, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_URL", database_url)
    now = datetime.now(UTC)
    file = tmp_path / "calls.csv"
    file.write_text(f"created_at,model,input_tokens,output_tokens\n{now.isoformat()},imported,1,1\n")
    assert main(["import", str(file)]) == 0
    ended_ns = str(int(now.timestamp() * 1e9))
    attributes = {**GENAI, "gen_ai.response.model": "traced"}
    body = export(span(1, attributes, startTimeUnixNano=ended_ns, endTimeUnixNano=ended_ns))
    assert post(app_on(database_url), body)[0] == 200
    call(model="own-sql")
    with Tracker(mode="direct") as recorder:
        recorder.record(a_call(model="live"))
    expected = {"live": "direct", "imported": "imported", "traced": "OTLP", "own-sql": "imported"}
    for page in ("overview.py", "calls.py"):
        frames = [frame.value for frame in open_page(database_url, page).dataframe]
        (table,) = [frame for frame in frames if {"arrived", "operation"} <= set(frame)]
        assert dict(zip(table["model"], table["arrived"], strict=True)) == expected
    frames = [frame.value for frame in open_page(database_url, "explorer.py", row="traced").dataframe]
    assert [list(frame["arrived"]) for frame in frames if "arrived" in frame] == [["OTLP"]]


def test_overview_compares_with_the_previous_range(open_page: OpenPage, database_url: str, call: Execute) -> None:
    call()
    call()
    call(created_at=datetime.now(UTC) - timedelta(days=7, minutes=5))
    calls = next(metric for metric in open_page(database_url, range="7d").metric if metric.label == "Calls")
    assert calls.delta == "+100%"


def test_overview_of_an_empty_range_links_to_the_last_call(
    open_page: OpenPage, database_url: str, call: Execute
) -> None:
    call(created_at=datetime(2023, 11, 16, 18, 15, tzinfo=UTC))
    app = open_page(database_url)
    assert "17 November 2023 at 03:15" in texts(app)
    next(button for button in app.button if button.label == "Show that day").click().run()
    assert not app.exception
    assert figures(app)["Calls"] == "1"
    assert app.query_params["range"] == "2023-11-17"


@pytest.mark.parametrize(
    "range_", ["nonsense", "9999-12-31..9999-12-31", "custom", "2026-02-30", "2026-03-02..2026-03-01"]
)
def test_an_invalid_link_shows_the_default_view(
    open_page: OpenPage, database_url: str, call: Execute, range_: str
) -> None:
    call()
    app = open_page(database_url, range=range_, tz="Nowhere/At_all", lang="xx", rows=";drop", measure="none", row="x")
    assert figures(app)["Calls"] == "1"


@pytest.mark.parametrize("moment", ["9999-12-31 23:59:59+00", "infinity", "-infinity"])
@pytest.mark.parametrize("page", ["overview.py", "performance.py"])
def test_an_unsupported_time_breaks_no_page(
    open_page: OpenPage, database_url: str, call: Execute, page: str, moment: str
) -> None:
    call(created_at=moment)
    open_page(database_url, page)
    open_page(database_url, page, range="7d")
    call()
    open_page(database_url, page, range="all")


@pytest.mark.parametrize("text", ["\x00", "gpt\x00", "\x00" * 300])
@pytest.mark.parametrize("page", ["overview.py", "explorer.py", "performance.py"])
def test_a_filter_that_postgresql_cannot_store_matches_no_calls(
    open_page: OpenPage, database_url: str, call: Execute, caplog: pytest.LogCaptureFixture, page: str, text: str
) -> None:
    call()
    names = ("model", "provider", "operation", "user", "environment", "range", "tz", "rows", "columns", "row", "call")
    open_page(database_url, page, **dict.fromkeys((*names, "lang", "tests", "measure", "tokens", "column"), text))
    for name in names[:5]:
        app = open_page(database_url, page, **{name: text})
        app.run()  # a refresh
        assert not app.exception
    assert "Traceback" not in caplog.text
    assert not [record for record in caplog.records if record.exc_info]


def test_an_empty_table_offers_a_test_call_and_sample_data(open_page: OpenPage, database_url: str) -> None:
    app = open_page(database_url)
    assert "Nothing recorded yet" in texts(app)
    assert {button.label for button in app.button} >= {"Record a test call", "Load sample data"}


def test_a_table_of_test_calls_offers_to_include_them(open_page: OpenPage, database_url: str, call: Execute) -> None:
    call(is_test=True)
    app = open_page(database_url)
    assert "Only test recordings so far" in texts(app)
    app.button(key="show_tests").click().run()
    assert figures(app)["Calls"] == "1"
    assert app.query_params["tests"] == "true"


def test_anonymous_is_not_counted_as_a_user(open_page: OpenPage, database_url: str, call: Execute) -> None:
    for user in ("anonymous", "anonymous", "u_1"):
        call(user_id=user)
    assert figures(open_page(database_url))["Users"] == "1"


def test_sample_data_is_added_and_removed_with_one_click(open_page: OpenPage, database_url: str) -> None:
    app = open_page(database_url)
    app.button(key="greet_sample").click().run()
    assert int(figures(app)["Calls"].replace(",", "")) > 1000
    assert "Sample data." in texts(app)
    app.button(key="remove_sample").click().run()
    assert "Nothing recorded yet" in texts(app)


def test_connections_shows_the_free_connections(open_page: OpenPage, database_url: str) -> None:
    app = open_page(database_url, "connections.py")
    shown = figures(app)
    assert int(shown["Used"]) >= 1
    most = int(value(database_url, "SHOW max_connections"))
    assert int(shown["Free"]) + int(shown["Used"]) + int(shown["Reserved"]) == most
    assert any(
        "token-tracker dashboard/local/development" in set(frame.value.get("name", ())) for frame in app.dataframe
    )


def test_performance_lists_unreadable_opentelemetry_data(open_page: OpenPage, database_url: str) -> None:
    assert "All AI calls received over OpenTelemetry were read." in texts(open_page(database_url, "performance.py"))
    run(
        database_url,
        "INSERT INTO token_tracker_unread (signal, scope, items) VALUES"
        " ('traces', '**bold** <b>scope</b>', 7), ('metrics', '', 3)",
    )
    app = open_page(database_url, "performance.py")
    assert "Some spans that look like AI calls could not be read." in texts(app)
    assert "**bold**" not in texts(app)
    table = app.dataframe[-1].value
    assert sorted(zip(table["kind"], table["scope"], table["items"], strict=True)) == [
        ("AI call spans", "**bold** <b>scope</b>", 7),
        ("Metric exports", "", 3),
    ]


def test_performance_includes_recorded_calls_only(open_page: OpenPage, database_url: str, call: Execute) -> None:
    call()  # imported: nothing was recorded there and then
    assert "No recordings in this range" in texts(open_page(database_url, "performance.py"))
    call(delivery="direct", environment="production", connection_ms=4.0, retry_count=0)
    call(delivery="direct", environment="production", connection_ms=6.0, retry_count=2)
    app = open_page(database_url, "performance.py")
    assert figures(app) == {
        "Connection, p50": "5 ms",
        "Connection, p95": "5.9 ms",
        "Delivery, p95": "0 ms",
        "Retried": "50%",
        "Late": "0%",
        "Outbox of this host": "0",
    }
    assert "**2 records**: 2 on time, none late, **0 missing**" in texts(app)


def test_environment_never_shows_a_secret(
    open_page: OpenPage, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GEMINI_API_KEY", "AIza-very-secret")
    monkeypatch.setenv("VERCEL_ENV", "preview")
    app = open_page(database_url, "environment.py")
    flags = dict(app.dataframe[0].value[["name", "value"]].to_numpy().tolist())
    assert flags["GEMINI_API_KEY"] == "set"
    assert flags["DATABASE_URL"] == "set"
    assert flags["SUPABASE_SERVICE_ROLE_KEY"] == "not set"
    assert flags["VERCEL_ENV"] == "preview"
    assert "very-secret" not in texts(app) + str([frame.value for frame in app.dataframe])


def test_environment_lists_ignored_url_parameters(open_page: OpenPage, database_url: str) -> None:
    app = open_page(with_parameters(database_url, "pgbouncer=true"), "environment.py")
    assert "'pgbouncer' was dropped" in texts(app)


@pytest.mark.parametrize(("key", "operation"), [("summary", "summary_generation"), ("tag", "tag_generation")])
def test_a_test_recording_is_stored(open_page: OpenPage, database_url: str, key: str, operation: str) -> None:
    app = open_page(database_url, "recordings.py")
    app.button(key=f"record_{key}").click().run()
    assert figures(app)["Status"] == "recorded"
    row = app.json[0].value
    assert f'"operation": "{operation}"' in row
    assert "synthetic, no AI was called" in row
    app.button(key="remove_tests").click().run()
    assert "1 test row of all users and apps is deleted." in texts(app)
    assert value(database_url, "SELECT count(*) FROM token_usage") == 1
    assert "confirm_remove_tests" in {button.key for button in app.button}


def test_the_rate_limit_is_shared_by_all_users(
    open_page: OpenPage, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = open_page(database_url, "recordings.py")
    from pages.support import test_calls as recorder

    monkeypatch.setattr(recorder, "MAX_CALLS", 1)
    monkeypatch.setattr(recorder, "_recent", deque())
    app.button(key="record_tag").click().run()
    assert figures(app)["Status"] == "recorded"
    other_reader = open_page(database_url, "recordings.py")
    other_reader.button(key="record_tag").click().run()
    assert "Too many test recordings" in texts(other_reader)
    assert "Status" not in figures(other_reader)


@pytest.mark.parametrize("page", PAGES)
def test_a_hostile_user_id_stays_text(open_page: OpenPage, database_url: str, call: Execute, page: str) -> None:
    hostile = "![x](http://evil.example/x.png)"
    call(user_id=hostile, model=hostile, operation=hostile, environment=hostile, delivery="direct", connection_ms=1)
    app = open_page(database_url, page)
    markdown = ("markdown", "caption", "subheader", "title", "success", "warning", "error")
    assert "evil.example" not in str([element.value for kind in markdown for element in app.get(kind)])
    assert "evil.example" not in str(figures(app))


@pytest.mark.parametrize("page", [page for page in PAGES if page not in {"environment.py", "connections.py"}])
def test_a_missing_table_shows_one_error_box(open_page: OpenPage, empty_database_url: str, page: str) -> None:
    app = open_page(empty_database_url, page)
    if page == "recordings.py":
        app.button(key="record_tag").click().run()
        assert figures(app)["Status"] == "queued"
    else:
        assert "The table token_usage isn't there." in texts(app)
    assert "token-tracker migrate" in texts(app)


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("postgresql://u:hunter2@127.0.0.1:1/app", "Nothing answers at 127.0.0.1:1."),
        ("mysql://u:hunter2@127.0.0.1/app", "DATABASE_URL is an address that starts with 'mysql'"),
        ("{place}_gone", "has no database tracker_test_"),
    ],
)
def test_an_unusable_database_shows_one_error_box_without_the_password(
    open_page: OpenPage, database_url: str, url: str, says: str
) -> None:
    place, _, query = database_url.partition("?")
    app = open_page(url.replace("{place}", place) + (f"?{query}" if "{" in url else ""))
    shown = texts(app)
    assert says in shown
    assert "hunter2" not in shown
    assert "psycopg2" not in shown


def test_a_page_recovers_when_the_table_exists(open_page: OpenPage, empty_database_url: str, database_url: str) -> None:
    app = open_page(empty_database_url)
    assert "The table token_usage isn't there." in texts(app)
    run(empty_database_url, "CREATE TABLE token_usage (id int)")
    assert "lacks: created_at" in texts(app.run())
    run(empty_database_url, "DROP TABLE token_usage")
    migrate(lambda: connect(empty_database_url))
    assert "Nothing recorded yet" in texts(app.run())


def test_a_test_recording_shows_its_steps(open_page: OpenPage, database_url: str) -> None:
    app = open_page(database_url, "recordings.py")
    app.button(key="record_summary").click().run()
    shown = texts(app)
    for step in ("Synthetic usage", "Connected in", "Written in", "Read back from the table.", "Same id again"):
        assert step in shown
    assert "Same id again: duplicate, as expected." in shown
    assert value(database_url, "SELECT count(*) FROM token_usage") == 1


def test_a_call_shows_its_details_and_json(open_page: OpenPage, database_url: str, call: Execute) -> None:
    call_id = "01890000-0000-7000-8000-000000000001"
    call(id=call_id, operation="chat", user_id="u_7", cache_read_input_tokens=40, cost=Decimal("0.0042"), retry_count=2)
    app = open_page(database_url, "explorer.py", rows="operation", row="chat", call=call_id)
    card = dict(app.dataframe[-1].value.to_numpy())
    assert card["Tokens"] == "100 in, 20 out · 40 cached"
    assert (card["User"], card["Cost"], card["Delivery"]) == ("u_7", "$0.0042", "imported · 2 retries")
    assert call_id in app.json[0].value


def test_models_without_a_price_are_listed_with_the_remedy(
    open_page: OpenPage, database_url: str, call: Execute
) -> None:
    names = ['my "own" model\\', "b", "c", "d"]
    for name in names:
        call(model=name)
    app = open_page(database_url)
    assert "1 more" in texts(app)
    assert "Set a price" in [button.label for button in app.button]
    app.switch_page("prices.py").run()
    prices = tomllib.loads(app.code[0].value)["price"]
    assert {price["model"] for price in prices} < set(names)


def test_cached_figures_state_their_own_time(open_page: OpenPage, database_url: str, call: Execute) -> None:
    call()
    computed = re.compile(r"calls by hour and weekday, computed at (\d\d:\d\d:\d\d)")
    app = open_page(database_url)
    first = computed.findall(texts(app))
    time.sleep(1.1)
    assert first == computed.findall(texts(app.run())) != []
    assert f"as of {first[0]}" not in texts(app)
