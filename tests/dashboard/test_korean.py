"""The Korean pages contain no English sentence in any state of the database."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest
from google.protobuf.json_format import MessageToDict
from streamlit.testing.v1 import AppTest
from support import ROOT, a_call, eventually, python, run

from tracker import Tracker
from tracker.diagnostics import report

PAGES = (
    "overview",
    "explorer",
    "latency",
    "calls",
    "ai_sessions",
    "connections",
    "performance",
    "environment",
    "prices",
    "recordings",
)
# Three English words in a row are a sentence; a name out of the database or of PostgreSQL is none.
ENGLISH = re.compile(r"(?:\b[A-Za-z][a-z'’]+[ ,]+){2,}[A-Za-z][a-z'’]+")
_TERMS = re.compile(
    r"idle in transaction( \(aborted\))?|db\.client\.[\w.]+, state \w+|fastpath function call|vercel (dev|env pull)"
    r"|service role|[Rr]ow-level security|pip install \S+|token-tracker \w+( \w+)?"
    r"|(\w+(Error|Exceeded|Exhausted)|Unavailable): .*"  # the error message of a sample call, as a provider writes it
    r"|[A-Z]{3,}[A-Z ,]*|Deployment Protection|production, preview, development"
)
# A session's statement is no sentence; on a server of --database-url they are those of other tests, too.
_STATEMENT = re.compile(r"(?s).*\bSELECT\b|\s*(?:INSERT|UPDATE|DELETE|CREATE|ALTER|DROP|SET|COPY|COMMENT|LOCK|GRANT) ")
# Not shown, or not ours to say.
_HIDDEN = {"columns", "id", "key", "icon", "spec", "data", "styler", "url", "href", "page", "script"}
_CODE = {"code", "json"}


def said(app: AppTest) -> Iterator[str]:
    """Every text of the page and its sidebar, tables' cells and headers included."""
    for place in (app.main, app.sidebar):
        yield from _of(place)


def _of(block: Any) -> Iterator[str]:
    for child in block.children.values():
        if hasattr(child, "children"):
            yield from _strings(MessageToDict(child.proto) if child.proto else {})
            yield from _of(child)
        elif child.type not in _CODE:
            yield from _strings(MessageToDict(child.proto))
            if child.type == "dataframe":
                yield from (str(cell) for cell in child.value.to_numpy().ravel())
                settings = json.loads(child.proto.columns or "{}").values()
                yield from (
                    str(text) for column in settings for name in ("label", "help") if (text := column.get(name))
                )


def _strings(value: Any, name: str = "") -> Iterator[str]:
    if isinstance(value, dict):
        for key, inner in value.items():
            if key not in _HIDDEN and not key.lower().endswith("id"):
                yield from _strings(inner, key)
    elif isinstance(value, list):
        for inner in value:
            yield from _strings(inner, name)
    elif isinstance(value, str) and name in {"json", "figure"}:  # a chart
        yield from _strings(json.loads(value))
    elif isinstance(value, str):
        yield value


@pytest.fixture
def leftovers(monkeypatch: pytest.MonkeyPatch) -> Callable[..., dict[str, list[str]]]:
    """What is English on a page of a database."""

    def look(url: str | None, page: str, press: str | None = None, state: object = None, **query: str) -> list[str]:
        if url is not None:
            monkeypatch.setenv("DATABASE_URL", url)
        app = AppTest.from_file(str(ROOT / "pages" / "shell.py"), default_timeout=40)
        app.context = {"timezone": "Asia/Seoul", "locale": "ko-KR"}
        for name, value in query.items():
            app.query_params[name] = value
        app.switch_page(f"{page}.py")  # before the first run: a direct link
        app.run()
        if press:
            app.button(key=press).click().run()
            if "burst" in app.session_state:
                eventually(lambda: app.session_state["burst"].done, within_s=60)
                app.run()
        if state:
            app.session_state["deployed_report"] = state
            app.run()
        texts = {text for text in said(app) if not _STATEMENT.match(text)}
        return sorted(text for text in texts if ENGLISH.search(_TERMS.sub("", text)))

    return look  # type: ignore[return-value]


@pytest.mark.parametrize("page", PAGES)
def test_with_calls(leftovers, page, database_url):
    assert python("-m", "tracker", "sample-data", "--days", "3", env={"DATABASE_URL": database_url}).returncode == 0
    with Tracker(database_url=database_url, mode="direct") as recorder:
        recorder.record_many([a_call(is_test=True), a_call(user_id="u")])
    assert leftovers(database_url, page, rows="operation", row="chat", tests="true") == []


@pytest.mark.parametrize("page", PAGES)
def test_with_an_empty_table(leftovers, page, database_url):
    assert leftovers(database_url, page) == []


@pytest.mark.parametrize("page", PAGES)
def test_without_the_table(leftovers, page, empty_database_url):
    assert leftovers(empty_database_url, page) == []


@pytest.mark.parametrize("page", PAGES)
def test_with_a_role_that_may_only_read(leftovers, page, database_url, limited_url):
    run(database_url, f"REVOKE INSERT ON token_usage FROM {urlsplit(limited_url).username}")
    with Tracker(database_url=database_url, mode="direct") as recorder:
        recorder.record(a_call(user_id="u"))
    assert leftovers(limited_url, page) == []


@pytest.mark.parametrize("page", PAGES)
def test_without_a_server(leftovers, page):
    assert leftovers("postgresql://u:p@127.0.0.1:1/app", page) == []


@pytest.mark.parametrize(
    ("page", "button"), [("environment", "run_checklist"), ("recordings", "record_tag"), ("recordings", "start_burst")]
)
@pytest.mark.parametrize("there", [True, False])
def test_the_results_of_buttons(leftovers, page, button, there, database_url, empty_database_url):
    assert leftovers(database_url if there else empty_database_url, page, button) == []


def test_the_comparison_with_a_deployment(leftovers, database_url):
    there = {
        **report.build_report({}).as_dict(),
        "environment": {"NODE_ENV": "production", "VERCEL": "1", "DATABASE_URL_SET": False, "X_SET": True},
        "runtime": {"platform": "vercel", "region": "icn1", "mode": "direct", "poolSize": 5},
        "variables": [{"name": "DATABASE_URL", "code": "quotes", "severity": "error"}],
    }
    assert leftovers(database_url, "environment", state=there) == []


def test_with_a_budget_that_is_ignored(leftovers, database_url):
    run(
        database_url,
        "INSERT INTO token_tracker_budgets (name, scope, period, measure, amount, timezone)"
        " VALUES ('b', 'everybody', 'day', 'usd', 1, 'Mars/Base')",
    )
    with Tracker(database_url=database_url, mode="direct") as recorder:
        recorder.record(a_call(user_id="u"))
    assert leftovers(database_url, "overview") == []


@pytest.mark.parametrize("page", ["overview", "environment"])
def test_with_unreadable_settings(leftovers, page, monkeypatch):
    monkeypatch.setenv("TRACKER_POOL_SIZE", "many")
    assert leftovers('"postgres://u:pa%ss@host/db"', page) == []
