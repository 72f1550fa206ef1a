"""GET /api/usage and /api/usage/records of a running dashboard: figures, limits of tokens, errors, clients."""

from __future__ import annotations

import csv
import io
import json
import os
import shutil
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

import jwt
import pytest
import schemathesis
from dashboard_support import Server, start_server
from hypothesis import HealthCheck, Phase, given, settings
from support import ROOT, connect, run, with_database

from tracker import TokenUsage, Tracker
from tracker.auth.api_tokens import Binding, create_token
from tracker.cli import main
from tracker.database.migrate import migrate
from tracker.maintenance import sample_data

KEY = "a signing key of thirty-two characters"
ALL, ANN, GROWTH = (
    create_token("all"),
    create_token("ann", Binding("user", "ann")),
    create_token("growth", Binding("metadata.team", "growth")),
)
HOSTILE = "=cmd|' /C calc'!A0 <b>\n"


@pytest.fixture(scope="module")
def database(server_url: str) -> Iterator[str]:
    """Calls of three users on one day, sample calls, and a test call."""
    name = f"tracker_usage_api_{os.getpid()}"
    run(server_url, f"DROP DATABASE IF EXISTS {name}", f"CREATE DATABASE {name}")
    url = with_database(server_url, name)
    migrate(lambda: connect(url))
    with Tracker(database_url=url, mode="direct") as recorder:
        for number in range(30):
            recorder.record(
                TokenUsage(
                    provider="openai",
                    model="gpt-5" if number % 3 else HOSTILE,
                    input_tokens=100,
                    output_tokens=number,
                    cost=Decimal("0.25") if number % 3 else None,
                    user_id=("ann", "bob", "cat")[number % 3],
                    success=number != 4,
                    error_message="secret prompt" if number == 4 else None,
                    metadata={"team": "growth" if number % 2 else "core", "ticket": f"T-{number}"},
                )
            )
        recorder.record(TokenUsage(model="gpt-5", input_tokens=9, output_tokens=9, is_test=True))
    run(
        url,
        "UPDATE token_usage SET created_at = timestamptz '2026-11-20 20:00Z' + sequence * interval '1 minute'",
    )
    connection = connect(url)
    sample_data.add(connection, days=2, now=datetime(2026, 11, 21, 12, tzinfo=UTC))
    connection.close()
    yield url
    run(server_url, f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")


@pytest.fixture(scope="module")
def server(database: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    running = start_server(
        {
            "DATABASE_URL": database,
            "XDG_STATE_HOME": str(tmp_path_factory.mktemp("home")),
            "TRACKER_API_TOKENS": f"{ALL.entry} {ANN.entry} {GROWTH.entry}",
            "TRACKER_API_SIGNING_KEY": KEY,
            "TRACKER_DEBUG_TOKEN": "debug-token",
        }
    )
    yield running
    running.process.terminate()
    running.process.wait(timeout=20)


Ask = Callable[..., tuple[int, Any]]


@pytest.fixture(scope="module")
def ask(server: Server) -> Ask:
    def send(path: str, token: str = ALL.token, accept: str = "application/json", **query: str) -> tuple[int, Any]:
        address = f"{server.url}{path}" + (f"?{urlencode(query)}" if query else "")
        request = urllib.request.Request(address, headers={"Authorization": f"Bearer {token}", "Accept": accept})
        try:
            with urllib.request.urlopen(request, timeout=30) as response:
                text = response.read().decode()
                is_json = response.headers["Content-Type"].startswith("application/json")
                return response.status, json.loads(text) if is_json else text
        except urllib.error.HTTPError as error:
            with error:
                assert error.headers["Content-Type"] == "application/problem+json"
                return error.code, json.loads(error.read())

    return send


DAYS = {"start": "2026-11-20", "end": "2026-11-22"}


def test_figures_by_any_dimensions(ask: Ask, database: str, capsys: pytest.CaptureFixture[str]) -> None:
    status, answer = ask("/api/usage", **DAYS)
    assert (status, answer) == (
        200,
        {
            "data": [
                {
                    "calls": 30,
                    "failed_calls": 1,
                    "input_tokens": 3000,
                    "output_tokens": 435,
                    "total_tokens": 3435,
                    "cost_usd": "5.00",
                    "unpriced_calls": 10,
                }
            ],
            "next_cursor": None,
        },
    )
    _, answer = ask("/api/usage", group_by="model,day", measure="calls,cost_usd", **DAYS)
    assert answer["data"] == [
        {"model": "gpt-5", "day": "2026-11-20", "calls": 20, "cost_usd": "5.00", "unpriced_calls": 0},
        {"model": HOSTILE, "day": "2026-11-20", "calls": 10, "cost_usd": None, "unpriced_calls": 10},
    ]
    # The calls are from 20:01 to 20:30 UTC, the next day in Seoul.
    _, answer = ask("/api/usage", group_by="day", measure="calls", timezone="Asia/Seoul", **DAYS)
    assert [(row["day"], row["calls"]) for row in answer["data"]] == [("2026-11-21", 30)]
    _, answer = ask("/api/usage", group_by="metadata.team", measure="calls", user="ann", **DAYS)
    assert {row["metadata.team"]: row["calls"] for row in answer["data"]} == {"core": 5, "growth": 5}
    _, answer = ask("/api/usage", **{"metadata.team": "growth", "start": "2026-11-20T20:10:30Z", "end": "2026-11-21"})
    assert answer["data"][0]["calls"] == 10


def test_csv_is_chosen_by_accept(ask: Ask) -> None:
    status, text = ask("/api/usage", accept="text/csv", group_by="model", measure="calls", **DAYS)
    table = list(csv.reader(io.StringIO(text)))
    assert (status, table[0]) == (200, ["model", "calls", "unpriced_calls"])
    assert ["'" + HOSTILE, "10", "10"] in table


def test_pages_of_calls_by_cursor(ask: Ask, database: str) -> None:
    found: list[dict[str, Any]] = []
    query = {"start": "2026-11-20", "limit": "7", "properties": "metadata.ticket"}
    while True:
        status, page = ask("/api/usage/records", **query)
        assert status == 200
        found += page["data"]
        if page["next_cursor"] is None:
            break
        assert set(page["next_cursor"]) <= {*"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"}
        query["cursor"] = page["next_cursor"]
    assert len({call["id"] for call in found}) == len(found) == 30
    assert [call["created_at"] for call in found] == sorted((call["created_at"] for call in found), reverse=True)
    assert (found[0]["metadata.ticket"], found[0]["user"], found[0]["cost_usd"]) == ("T-29", "cat", "0.25")
    failed = next(call for call in found if not call["success"])
    assert failed["error_message"] == "secret prompt"
    first = ask("/api/usage/records", start="2026-11-20", limit="7")[1]["next_cursor"]
    for other in ({"start": "2026-11-20", "user": "ann"}, {"start": "2026-11-19"}):
        assert ask("/api/usage/records", cursor=first, limit="7", **other)[0] == 400
    assert ask("/api/usage/records", ANN.token, cursor=first, limit="7", start="2026-11-20")[0] == 400


def test_a_token_reads_its_calls_only(ask: Ask) -> None:
    expires = datetime.now(UTC) + timedelta(minutes=5)
    signed = jwt.encode({"sub": "ann", "exp": expires}, KEY, algorithm="HS256")
    for token in (ANN.token, signed):
        assert ask("/api/usage", token, **DAYS)[1]["data"][0]["calls"] == 10
        assert ask("/api/usage", token, user="ann", **DAYS)[1]["data"][0]["calls"] == 10
        _, answer = ask("/api/usage", token, group_by="user", measure="calls", **DAYS)
        assert [(row["user"], row["calls"]) for row in answer["data"]] == [("ann", 10)]
        _, page = ask("/api/usage/records", token, start="2026-11-20")
        assert {call["user"] for call in page["data"]} == {"ann"}
        assert not {"error_message", "metadata", "cost_source"} & set(page["data"][0])
        refused = (
            {"user": "bob"},
            {"user": ""},
            {"metadata.team": "growth"},
            {"group_by": "metadata.team"},
        )
        for query in refused:
            status, problem = ask("/api/usage", token, **query)
            assert (status, problem["status"]) == (403, 403), query
        assert ask("/api/usage/records", token, properties="metadata.ticket")[0] == 403
    assert ask("/api/usage", GROWTH.token, **DAYS)[1]["data"][0]["calls"] == 15
    assert ask("/api/usage", GROWTH.token, group_by="metadata.team", measure="calls", **DAYS)[0] == 200
    assert ask("/api/usage", GROWTH.token, **{"metadata.team": "core"})[0] == 403
    assert ask("/api/usage", GROWTH.token, **{"metadata.team": "(not set)"})[0] == 403
    assert ask("/api/usage", "debug-token")[0] == ask("/api/usage", "")[0] == 401


@pytest.mark.parametrize(
    "query",
    [
        "group_by=modell",
        "group_by=minute&start=2016-01-01",
        "group_by=hour&start=2016-01-01",
        "group_by=" + ",".join(f"d{number}" for number in range(1000)),
        "group_by=metadata.a,metadata.b,metadata.c",
        "measure=tokens",
        "start=yesterday",
        "start=2026-11-22&end=2026-11-20",
        "start=2026-13-01",
        "timezone=Mars/Olympus",
        "timezone=../../etc/passwd",
        "cursor=abc",
        "metadata.=x",
        "user=a&user=b",
        "color=red",
        "model=%FF",
        "model=" + "x" * 9000,
        "token=tt_secret",
        "start=%00",
        "&".join(f"metadata.k{number}=1" for number in range(200)),
    ],
)
def test_an_invalid_request_is_refused_with_an_instruction(server: Server, query: str) -> None:
    request = urllib.request.Request(
        f"{server.url}/api/usage?{query}", headers={"Authorization": f"Bearer {ALL.token}"}
    )
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(request, timeout=20)
    with refused.value as error:
        problem = json.loads(error.read())
    assert error.code in {400, 414}
    assert problem["detail"].endswith(".")
    assert "secret" not in json.dumps(problem)
    assert server.unforeseen() == ""


def test_invalid_cursors_and_limits_are_refused(ask: Ask) -> None:
    for query in (
        {"cursor": "!"},
        {"cursor": "e30"},
        {"cursor": quote("é")},
        {"limit": "0"},
        {"limit": "1001"},
        {"limit": "ten"},
    ):
        assert ask("/api/usage/records", **query)[0] == 400, query


def test_the_figures_equal_the_commands(ask: Ask, database: str, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    monkeypatch.setenv("DATABASE_URL", database)
    assert main(["usage", "--by", "user", "--last", "3000w", "--json", "--model", "gpt-5"]) == 0
    command = {row["user"]: row["calls"] for row in json.loads(capsys.readouterr().out)["data"]}
    _, answer = ask("/api/usage", group_by="user", model="gpt-5", start="2026-01-01")
    assert {row["user"]: row["calls"] for row in answer["data"]} == command == {"bob": 10, "cat": 10}


def test_a_generated_client_reads_both_routes(ask: Ask, server: Server, tmp_path: Path) -> None:
    """The client generator of the OpenAPI community, with its own data classes."""
    status, document = ask("/api/openapi.json")
    assert (status, document["openapi"]) == (200, "3.1.0")
    (tmp_path / "openapi.json").write_text(json.dumps(document))
    (tmp_path / "config.yaml").write_text("post_hooks: []\npackage_name_override: usage_client\n")
    command = [
        sys.executable,
        "-m",
        "openapi_python_client",
        "generate",
        "--path",
        "openapi.json",
        "--config",
        "config.yaml",
    ]
    made = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert made.returncode == 0, made.stdout + made.stderr
    assert "WARNING" not in made.stdout + made.stderr
    script = f"""
from usage_client import AuthenticatedClient
from usage_client.api.default import get_records, get_usage
from usage_client.models import GetUsageMeasureItem
client = AuthenticatedClient(base_url={server.url!r}, token={ALL.token!r})
usage = get_usage.sync(client=client, start="2026-11-20", end="2026-11-22", group_by=["model"],
    measure=[GetUsageMeasureItem.CALLS])
records = get_records.sync(client=client, start="2026-11-20", limit=5)
print([(row.model, row.calls) for row in usage.data][0], len(records.data), bool(records.next_cursor))
"""
    package = next(path.parent for path in tmp_path.rglob("usage_client/client.py")).parent
    used = subprocess.run([sys.executable, "-c", script], cwd=package, capture_output=True, text=True, timeout=60)
    assert used.returncode == 0, used.stderr
    assert used.stdout.split() == ["('gpt-5',", "20)", "5", "True"]


def test_no_request_that_the_document_allows_or_forbids_causes_an_error_of_the_server(ask: Ask, server: Server) -> None:
    schema = schemathesis.openapi.from_dict(ask("/api/openapi.json")[1])
    schema.config.update(base_url=server.url)
    headers = {"Authorization": f"Bearer {ALL.token}"}
    statuses: set[int] = set()
    for operation in (result.ok() for result in schema.get_all_operations()):

        @settings(
            max_examples=60,
            deadline=None,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
            database=None,
        )
        @given(case=operation.as_strategy())
        def send(case: Any) -> None:
            response = case.call(headers=headers)
            statuses.add(response.status_code)
            assert response.status_code < 500 or response.status_code == 503, response.text

        send()
    assert 200 in statuses
    assert server.unforeseen() == ""


def test_many_requests_leave_connections_to_the_pages(ask: Ask, server: Server) -> None:
    statuses: list[int] = []
    threads = [
        threading.Thread(target=lambda: statuses.append(ask("/api/usage", group_by="session,user,day")[0]))
        for _ in range(12)
    ]
    for thread in threads:
        thread.start()
    assert server.get("/api/health")[0] == 200
    for thread in threads:
        thread.join()
    assert statuses == [200] * 12


EXAMPLE = ROOT / "examples" / "nextjs"
RENDER = """
import { renderToStaticMarkup } from 'react-dom/server';
import UsagePage from './examples/app/admin/usage/page.tsx';
console.log(renderToStaticMarkup(await UsagePage()));
"""


def test_the_nextjs_page_shows_a_person_their_own_usage(server: Server, database: str, tmp_path: Path) -> None:
    """The server component of the example, rendered by React in Node."""
    if not (shutil.which("node") and shutil.which("npm")):
        (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)("Node and npm are not installed.")
    shutil.copytree(EXAMPLE, tmp_path / "examples")
    (tmp_path / "package.json").write_text('{"type": "module", "private": true}')
    (tmp_path / "render.tsx").write_text(RENDER)
    packages = ["react@19.2.0", "react-dom@19.2.0", "esbuild@0.25.12"]
    bundle = ["esbuild", "render.tsx", "--bundle", "--platform=node", "--format=esm", "--jsx=automatic"]
    commands = [
        ["npm", "install", "--silent", "--no-audit", "--no-fund", "--no-package-lock", *packages],
        ["npx", *bundle, "--packages=external", "--outfile=render.js", "--log-level=error"],
        ["node", "render.js"],
    ]
    env = {**os.environ, "TRACKER_DASHBOARD_URL": server.url, "TRACKER_API_SIGNING_KEY": KEY, "EXAMPLE_USER_ID": "bob"}
    run(database, "UPDATE token_usage SET created_at = now() - interval '1 day' WHERE user_id = 'bob' AND NOT is_test")
    for command in commands:
        done = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True, timeout=150)
        assert done.returncode == 0, done.stdout + done.stderr
    assert "<td>10</td><td>1145</td><td>2.50</td>" in done.stdout
