"""Row-level security and read-only roles: the recommendations, and the status that monitors get."""

from __future__ import annotations

import asyncio
import re
from contextlib import closing

import pytest
from asgi_support import get
from support import ROOT, a_call, run, with_role

from tracker import Tracker, settings
from tracker.database.locate import Database
from tracker.database.url import clean
from tracker.diagnostics.debug_api import DebugApp
from tracker.diagnostics.report import build_report
from tracker.reports import Reader
from tracker.reports.database_health import HealthCheck

CASE = (ROOT / "tests" / "cases" / "databases" / "rls.sql").read_text()


@pytest.fixture
def reader(database_url, new_role):
    """The case's role `reader` under another name, and the case's statements."""
    role = new_role()
    plain = re.sub(r"CREATE ROLE [^;]*; ", "", CASE)  # the role exists already
    statements = re.findall(r"^(?!--)(.+?);(?:\s|$)", plain, re.MULTILINE)
    with Tracker(database_url=database_url, mode="direct") as recorder:
        recorder.record_many([a_call() for _ in range(30)])
    return role, [re.sub(r"\breader\b", role, statement) for statement in statements]


def read_as(url):
    return Reader(Database(clean(url), embedded=False, settings=settings.load({})))


def test_a_role_without_a_policy_gets_the_recommendation_sees_no_rows(database_url, reader):
    role, statements = reader
    run(database_url, *statements[:2])
    report = build_report({"DATABASE_URL": with_role(database_url, role)})
    assert report.database["seesNoRows"]
    assert "sees_no_rows" in [r.code for r in report.recommendations]
    with closing(read_as(with_role(database_url, role))) as opened:
        assert opened.table().sees_no_rows


def test_a_missing_select_policy_is_named_if_the_insert_policy_exists(database_url, reader):
    role, statements = reader
    run(database_url, *statements)
    url = with_role(database_url, role)
    first = build_report({"DATABASE_URL": url}).recommendations[0]
    assert first.code == "right_missing"
    assert "policy for SELECT" in first.cause
    assert re.fullmatch(r"As the table's owner: CREATE POLICY \w+ ON .* FOR SELECT TO .* USING \(true\);", first.remedy)
    run(database_url, first.remedy.partition(": ")[2])
    with Tracker(database_url=url, mode="direct", max_retries=0) as recorder:
        assert recorder.record(a_call()).status == "recorded"
    assert build_report({"DATABASE_URL": url}).healthy


@pytest.mark.parametrize("secured", [False, True])
def test_a_read_only_role_is_healthy_to_monitors_and_not_to_the_debug_route(
    database_url, new_role, monkeypatch, secured
):
    role = new_role()
    run(database_url, f"GRANT SELECT ON ALL TABLES IN SCHEMA public TO {role}")
    if secured:
        run(
            database_url,
            "ALTER TABLE token_usage ENABLE ROW LEVEL SECURITY",
            f"CREATE POLICY reads ON token_usage FOR SELECT TO {role} USING (true)",
        )
    url = with_role(database_url, role)
    with closing(read_as(url)) as opened:
        assert asyncio.run(HealthCheck(opened.check)()).status_code == 200
    monkeypatch.setenv("DATABASE_URL", url)
    answer = get(DebugApp(), {})
    assert answer.status == 503
    assert answer.json["database"]["onlyReads"]
    assert answer.json["recommendations"][0]["cause"].startswith("This role cannot record:")
