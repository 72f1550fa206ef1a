"""The debug route: status, keys, access, time limit, connections, and fuzzing."""

from __future__ import annotations

import asyncio
import json
import socket
import time

import pytest
from asgi_support import aget, get
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from support import a_call, eventually, python, rows, run, value

from tracker import Tracker
from tracker.auth.attempt_limiter import MAX_REFUSALS
from tracker.diagnostics.debug_api import DebugApp
from tracker.diagnostics.report import LIMIT_S, build_report

KEYS = {"environment", "database", "tokenUsage", "recommendations"}


@pytest.fixture
def app(monkeypatch, database_url):
    monkeypatch.setenv("DATABASE_URL", database_url)
    return DebugApp()


def test_a_healthy_report_is_200_with_the_documents_keys(app, monkeypatch, database_url):
    monkeypatch.setenv("NODE_ENV", "production")
    with Tracker(mode="direct", database_url=database_url) as recorder:
        recorder.record(a_call(user_id="u_42"))
        recorder.record(a_call(is_test=True))
    answer = get(app)
    assert answer.status == 200
    assert set(answer.json) >= KEYS
    assert answer.json["environment"]["NODE_ENV"] == "production"
    assert answer.json["environment"]["DATABASE_URL_SET"] is True
    assert answer.json["environment"]["GEMINI_API_KEY_SET"] is False
    assert answer.json["database"]["connectionStatus"] == "connected"
    assert answer.json["database"]["tableExists"] is True
    usage = answer.json["tokenUsage"]
    assert (usage["total"], len(usage["recent"]), len(usage["recentUsers"])) == (1, 1, 1)
    assert usage["lastByEnvironment"][0]["environment"] == "production"
    assert answer.headers["cache-control"] == "no-store"


def test_user_ids_are_in_the_report_only_with_a_token(app, monkeypatch, database_url):
    with Tracker(mode="direct", database_url=database_url) as recorder:
        recorder.record(a_call(user_id="user-42@example.com"))
    assert b"user-42" not in get(app).body
    monkeypatch.setenv("TRACKER_DEBUG_TOKEN", "t0ken")
    answer = get(app, {"authorization": "Bearer t0ken"})
    assert answer.json["tokenUsage"]["recentUsers"][0]["user_id"] == "user-42@example.com"


def test_a_missing_table_is_503(monkeypatch, empty_database_url):
    monkeypatch.setenv("DATABASE_URL", empty_database_url)
    answer = get(DebugApp())
    assert (answer.status, answer.json["database"]["tableExists"]) == (503, False)


def test_the_report_of_a_table_without_time_zones_has_utc_times(monkeypatch, empty_database_url):
    from support import connect

    from tracker.database.migrate import migrate

    run(
        empty_database_url,
        "CREATE TABLE token_usage (id uuid PRIMARY KEY, created_at timestamp, model text, input_tokens int,"
        " output_tokens int)",
    )
    migrate(lambda: connect(empty_database_url), timezone="Asia/Seoul")
    run(
        empty_database_url,
        "INSERT INTO token_usage (id, created_at, model) VALUES (gen_random_uuid(), '2026-03-01 09:00', 'm')",
    )
    monkeypatch.setenv("DATABASE_URL", empty_database_url)
    recent = get(DebugApp()).json["tokenUsage"]["recent"]
    assert recent[0]["created_at"] == "2026-03-01T00:00:00+00:00"


# --- who may read it ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("headers", "client", "env", "status"),
    [
        ({}, "127.0.0.1", {}, 200),
        ({}, "::1", {}, 200),
        ({}, "10.0.0.7", {}, 401),
        ({"x-forwarded-for": "127.0.0.1"}, "127.0.0.1", {}, 401),
        ({"host": "evil.example"}, "127.0.0.1", {}, 401),
        ({}, "127.0.0.1", {"TRACKER_PLATFORM": "vercel"}, 401),
        ({"authorization": "Bearer t0ken"}, "10.0.0.7", {"TRACKER_DEBUG_TOKEN": "t0ken"}, 200),
        ({"authorization": "bearer t0ken"}, "10.0.0.7", {"TRACKER_DEBUG_TOKEN": "t0ken\n"}, 200),
        ({"authorization": "Bearer t0kem"}, "127.0.0.1", {"TRACKER_DEBUG_TOKEN": "t0ken"}, 401),
        ({"authorization": "Basic t0ken"}, "127.0.0.1", {"TRACKER_DEBUG_TOKEN": "t0ken"}, 401),
        ({}, "127.0.0.1", {"TRACKER_DEBUG_TOKEN": "t0ken"}, 401),
        ({"authorization": "Bearer "}, "127.0.0.1", {"TRACKER_DEBUG_TOKEN": " "}, 401),
    ],
)
def test_the_token_rule(app, monkeypatch, headers, client, env, status):
    for name, text in env.items():
        monkeypatch.setenv(name, text)
    assert get(app, headers, client=client).status == status


def test_wrong_tokens_are_rate_limited_and_the_right_one_is_accepted(app, monkeypatch):
    monkeypatch.setenv("TRACKER_DEBUG_TOKEN", "t0ken")
    wrong = [get(app, {"authorization": f"Bearer {number}"}).status for number in range(MAX_REFUSALS + 5)]
    assert wrong == [401] * MAX_REFUSALS + [429] * 5
    assert get(app, {"authorization": "Bearer t0ken"}).status == 200


@pytest.mark.parametrize(
    ("token", "is_short"), [("t0ken", True), ("0123456789abcde ", True), ("0" * 16, False), ("", False)]
)
def test_a_short_token_is_reported_without_its_value(token, is_short):
    report = build_report({"TRACKER_DEBUG_TOKEN": token})
    messages = {problem["code"]: problem["sentence"] for problem in report.as_dict()["variables"]}
    assert ("token_short" in messages) is is_short
    assert not token or token.strip() not in messages.get("token_short", "")


# --- time and connections -----------------------------------------------------------------------------------------


@pytest.mark.direct
def test_a_hundred_requests_open_one_connection_and_leave_none_open(app, monkeypatch, database_url, server_url):
    most = 0

    async def watch():
        nonlocal most
        while True:
            question = "SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'token-tracker diagnosis%%'"
            most = max(most, await asyncio.to_thread(value, server_url, question))

    async def ask_all():
        watching = asyncio.create_task(watch())
        answers = await asyncio.gather(*(aget(app) for _ in range(100)))
        watching.cancel()
        return answers

    answers = asyncio.run(ask_all())
    assert {answer.status for answer in answers} == {200}
    assert most <= 1
    eventually(lambda: not report_connections(server_url))


def report_connections(url):
    return rows(url, "SELECT 1 FROM pg_stat_activity WHERE application_name LIKE 'token-tracker diagnosis%%'")


def test_it_answers_within_ten_seconds_when_the_name_service_hangs(monkeypatch, app):
    def hang(*_, **__):
        time.sleep(20)
        return []

    monkeypatch.setenv("DATABASE_URL", "postgresql://u:p@db.example.com/app")
    monkeypatch.setattr(socket, "getaddrinfo", hang)
    started = time.monotonic()
    answer = get(app)
    assert time.monotonic() - started < 10
    assert answer.json["recommendations"][0]["code"] == "dns_timeout"


def test_a_report_that_hangs_gets_a_response(monkeypatch):
    monkeypatch.setattr("tracker.diagnostics.debug_api.RESPONSE_TIMEOUT_S", 0.3)
    app = DebugApp(lambda: time.sleep(1) or build_report({}))
    answer = get(app)
    assert (answer.status, answer.json["healthy"]) == (503, False)


def test_a_report_that_raises_gets_a_response_without_a_traceback():
    def broken():
        raise RuntimeError("s3cret of the driver")

    answer = get(DebugApp(broken))
    assert answer.status == 503
    assert b"s3cret" not in answer.body


def test_slow_login_and_slow_queries_together_stay_below_the_limit(proxy, monkeypatch):
    proxy.delay_to_client_ms = 100
    monkeypatch.setenv("DATABASE_URL", proxy.url)
    started = time.monotonic()
    report = build_report()
    assert time.monotonic() - started < LIMIT_S + 1
    assert report.database["connectionStatus"] == "connected"


# --- any request -------------------------------------------------------------------------------------------------

TOKENS = st.text("!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyz", min_size=1, max_size=30)


@hypothesis_settings(max_examples=100)
@given(
    method=st.one_of(st.sampled_from(["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "TRACE"]), TOKENS),
    path=st.text(max_size=200),
    headers=st.lists(st.tuples(TOKENS.map(str.encode), st.binary(max_size=200)), max_size=20),
    authorization=st.one_of(st.none(), st.binary(max_size=100), st.just(b"Bearer t0ken")),
    body=st.binary(max_size=2000),
    client=st.one_of(
        st.sampled_from(["127.0.0.1", "::1", "::ffff:127.0.0.1", "fe80::1%eth0", ""]), st.text(max_size=30)
    ),
)
def test_no_request_causes_an_error_or_stores_anything(method, path, headers, authorization, body, client):
    report = REPORT
    app = DebugApp(lambda: report)
    given_headers = headers + ([(b"authorization", authorization)] if authorization is not None else [])
    answer = get(app, method=method, path=path, raw_headers=given_headers, body=body, client=client)
    assert answer.status in {200, 401, 405, 429, 503}
    assert b"Traceback" not in answer.body
    assert method == "HEAD" or json.loads(answer.body)


REPORT = build_report({})


def test_fuzzing_stores_nothing_in_a_real_database(app, database_url):
    for method in ("GET", "POST", "PUT", "DELETE", "PATCH"):
        get(app, method=method, body=b'{"model": "m"}' * 1000)
    assert value(database_url, "SELECT count(*) FROM token_usage") == 0
    assert value(database_url, "SELECT count(*) FROM token_tracker_ledger") == 0


def test_the_app_needs_only_the_core_install(database_url):
    done = python(
        "-c",
        "import sys, tracker.diagnostics.debug_api as d, tracker.diagnostics.report as r; r.build_report();"
        " print([n for n in ('starlette', 'sqlalchemy', 'pandas', 'streamlit', 'numpy') if n in sys.modules])",
        env={"DATABASE_URL": database_url},
    )
    assert done.stdout.strip() == "[]", done.stdout + done.stderr


def test_every_module_of_the_diagnostics_imports_with_the_core_install():
    done = python(
        "-c",
        "import sys, pkgutil, importlib, tracker.diagnostics as package\n"
        "for module in pkgutil.iter_modules(package.__path__, 'tracker.diagnostics.'):\n"
        "    importlib.import_module(module.name)\n"
        "print([n for n in ('starlette', 'sqlalchemy', 'pandas', 'streamlit', 'numpy') if n in sys.modules])",
    )
    assert done.stdout.strip() == "[]", done.stdout + done.stderr


def test_the_recorders_pool_is_in_the_report(app, database_url, monkeypatch):
    from tracker import shared

    recorder = shared(mode="direct", database_url=database_url)
    recorder.record(a_call())
    assert get(app).json["pool"]["max"] == recorder.settings.pool_size
    recorder.close()


def test_missing_records_are_counted(database_url):
    with Tracker(mode="direct", database_url=database_url) as recorder:
        for _ in range(5):
            recorder.record(a_call())
    run(
        database_url,
        "DELETE FROM token_usage WHERE sequence IN (2, 3)",
        "UPDATE token_usage SET recorded_at = now() - interval '1 hour'",
    )
    report = build_report({"DATABASE_URL": database_url})
    assert report.ledger["missing"] == 2
    assert "records_missing" in {r.code for r in report.recommendations}


def test_alerts_of_the_last_day_are_named(database_url):
    run(
        database_url,
        "INSERT INTO token_tracker_alerts (reason, error, held_back) VALUES ('timeout', 'It took too long.', 4)",
    )
    report = build_report({"DATABASE_URL": database_url})
    assert report.alerts[0]["alerts"] == 5
    assert "alerts" in {r.code for r in report.recommendations}


def test_queued_records_are_counted(database_url, tmp_path):
    path = tmp_path / "outbox.db"
    with Tracker(
        database_url="postgresql://127.0.0.1:1/x", mode="direct", outbox=str(path), deadline_s=0.2
    ) as recorder:
        recorder.record(a_call())
    report = build_report({"DATABASE_URL": database_url, "TRACKER_OUTBOX": str(path)})
    assert report.outbox["waiting"] == 1


def test_a_report_leaves_no_row_and_no_file(database_url, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    build_report({"DATABASE_URL": database_url})
    assert list(tmp_path.iterdir()) == []
    assert value(database_url, "SELECT count(*) FROM token_usage") == 0
