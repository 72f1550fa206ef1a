"""Comparing two reports: differences come first with their meaning, also for the report of an app's own route."""

from __future__ import annotations

import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracker.diagnostics.compare_reports import compare_reports, recommendations_of
from tracker.diagnostics.env_file import parse, read_env_file
from tracker.diagnostics.report import build_report
from tracker.errors import SettingError

DOCUMENT = {
    "environment": {"NODE_ENV": "production", "VERCEL": "1", "VERCEL_ENV": "production", "DATABASE_URL_SET": False},
    "database": {"connectionStatus": "failed", "tableExists": False},
    "tokenUsage": {"recent": [], "total": 0, "recentUsers": []},
    "recommendations": ["DATABASE_URL 환경 변수를 설정하세요."],
}


@pytest.fixture
def here(database_url):
    return build_report({"DATABASE_URL": database_url, "NODE_ENV": "development"}).as_dict()


def test_a_report_of_an_apps_own_route_is_compared(here):
    lines = {line.key: line for line in compare_reports(here, DOCUMENT)}
    assert lines["environment.DATABASE_URL_SET"].weight == "error"
    assert "set it there" in lines["environment.DATABASE_URL_SET"].explains
    assert (lines["database.connectionStatus"].here, lines["database.connectionStatus"].weight) == (
        "connected",
        "error",
    )
    assert lines["environment.NODE_ENV"].there == "production"
    assert recommendations_of(DOCUMENT)[0]["cause"].startswith("DATABASE_URL")


@pytest.mark.parametrize("status", ["connected", "success", "Connected", True])
def test_each_word_for_a_working_connection_is_equal(here, status):
    there = {**DOCUMENT, "database": {"connectionStatus": status, "tableExists": True}}
    assert {line.key: line.weight for line in compare_reports(here, there)}["database.connectionStatus"] == "same"


def test_differences_that_prevent_recording_come_first(here):
    weights = [line.weight for line in compare_reports(here, DOCUMENT)]
    assert weights == sorted(weights, key=["error", "warning", "info", "same"].index)
    assert weights[0] == "error"


def test_a_report_against_itself_has_no_difference(here):
    assert not [line for line in compare_reports(here, here) if line.differs]


def test_two_databases_on_one_server_differ(here, empty_database_url):
    there = build_report({"DATABASE_URL": empty_database_url}).as_dict()
    keys = {line.key for line in compare_reports(here, there) if line.differs}
    assert {"database.database", "database.tableExists"} <= keys


any_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4),
    max_leaves=20,
)
parts = ("environment", "database", "tokenUsage", "runtime", "variables", "outbox", "recommendations")
report_like = st.fixed_dictionaries({}, optional=dict.fromkeys(parts, any_json))


@given(report_like, report_like)
def test_any_json_can_be_compared(here, there):
    for line in compare_reports(here, there):
        assert line.here is not None
        json.dumps(line.as_dict())
    recommendations_of(there)


# --- .env files ---------------------------------------------------------------------------------------------------


def test_a_pulled_file_is_parsed():
    text = (
        '# Created by Vercel CLI\nDATABASE_URL="postgres://u:p#w@h/d?sslmode=require"\nNODE_ENV=production # here\n'
        'export A=\'single $x\'\nEMPTY=""\nB = spaced\nNL="x\\n"\nKEY="-----BEGIN\nline\n-----END"\r\nC=x#y\n'
    )
    assert parse(text) == {
        "DATABASE_URL": "postgres://u:p#w@h/d?sslmode=require",
        "NODE_ENV": "production",
        "A": "single $x",
        "EMPTY": "",
        "B": "spaced",
        "NL": "x\n",
        "KEY": "-----BEGIN\nline\n-----END",
        "C": "x#y",
    }


@given(st.text(max_size=300))
def test_any_text_can_be_parsed(text):
    assert all(re.match(r"[A-Za-z_]", name) for name in parse(text))


@given(st.dictionaries(st.from_regex(r"[A-Z_]{1,10}", fullmatch=True), st.text("abc '#=$\\\"\n\té", max_size=20)))
def test_a_quoted_value_survives_a_round_trip(variables):
    escaped = {
        name: text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n") for name, text in variables.items()
    }
    assert parse("\n".join(f'{name}="{text}"' for name, text in escaped.items())) == variables


def test_an_unreadable_file_is_a_setting_error(tmp_path):
    (tmp_path / "binary").write_bytes(b"\xff\xfe\x00")
    for name in ("missing", "binary", "."):
        with pytest.raises(SettingError, match="--env-file"):
            read_env_file(tmp_path / name)
