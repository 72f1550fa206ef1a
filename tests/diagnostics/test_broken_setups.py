"""Broken setups: the first recommendation names the cause within ten seconds, and no output contains a secret."""

from __future__ import annotations

import json
import logging
import os
import time
import traceback
from pathlib import Path

import pytest
from apptest_support import share_component_scan
from asgi_support import get
from broken_setups import SETUPS, secret_forms
from streamlit.testing.v1 import AppTest
from support import ROOT, a_call, eventually, value

from tracker import Tracker, settings
from tracker.cli import main
from tracker.database.locate import locate
from tracker.diagnostics import probe
from tracker.diagnostics.connection_probe import ConnectionProbe
from tracker.diagnostics.debug_api import DebugApp
from tracker.diagnostics.report import Report, build_report
from tracker.diagnostics.rules import RULES
from tracker.errors import TrackerError
from tracker.messages import Message
from tracker.reports.engine import current_reader

share_component_scan()
# Causes that are known only after a wait for an answer.
SILENT = {"not_postgres", "silent", "silent_after_login", "timeout"}
VERCEL = {"VERCEL": "1", "VERCEL_ENV": "production", "VERCEL_REGION": "icn1"}


def test_there_are_at_least_forty_setups():
    assert len(SETUPS) >= 40


@pytest.fixture
def applied_setup(request, setup, monkeypatch, tmp_path, secret, token):
    """Applies a setup to this process's environment; returns the code of its cause."""
    setup.cause, make = SETUPS[request.param]
    variables = {**VERCEL, "TRACKER_DEBUG_TOKEN": token, "TMPDIR": str(tmp_path), **make(setup)}
    for name, text in variables.items():
        monkeypatch.setenv(name, text)
    return setup.cause


@pytest.mark.parametrize("applied_setup", list(SETUPS), indirect=True)
def test_the_first_recommendation_names_the_cause_and_no_output_contains_a_secret(
    applied_setup, setup, secret, token, caplog, capsys, monkeypatch
):
    caplog.set_level(logging.DEBUG)
    started = time.monotonic()
    report = build_report(clock=lambda: time.time() + setup.clock_offset_s)
    assert time.monotonic() - started < 10
    # A server of --database-url may lack TLS in each setup.
    first = next(r for r in report.recommendations if r.code == applied_setup or r.code != "not_encrypted")
    report_json = json.dumps(report.as_dict(), ensure_ascii=False)
    assert first.code == applied_setup, report_json
    assert first.cause and first.evidence and first.remedy
    assert report.healthy == all(r.severity != "error" or r.code == "exposed_secret" for r in report.recommendations)
    assert texts_without_code(report) == []
    assert count_open_connections(setup) == 0

    if applied_setup in SILENT:  # the first report has waited as long as a report does
        monkeypatch.setenv("TRACKER_CONNECT_TIMEOUT_S", "1")
        monkeypatch.setattr(probe, "LOGIN_TIMEOUT_S", 1.5)
        monkeypatch.setattr(ConnectionProbe._remaining_s, "__defaults__", (1.0,))
    response = get(DebugApp(), {"authorization": f"Bearer {token}"})
    assert response.status == (200 if report.healthy else 503)
    if setup.is_repeatable:
        assert applied_setup in [r["code"] for r in response.json["recommendations"]][:2]
    main(["doctor"])
    with Tracker(deadline_s=0.3, mode="direct", max_retries=0) as recorder:
        outcome = recorder.record(a_call())
        assert isinstance(outcome.error, Message | None)
        representations = [
            repr(recorder),
            repr(recorder.settings),
            repr(outcome),
            repr(report),
            repr(settings.load(strict=False)),
        ]
    printed = capsys.readouterr()
    representations.append(environment_page())
    everything = "\n".join(
        [
            report_json,
            response.body.decode(),
            printed.out,
            printed.err,
            caplog.text,
            *representations,
            connect_traceback(),
            process_title(),
            *alerts(setup),
        ]
    )
    for form in {*secret_forms(secret), *secret_forms(token), *setup_secrets()}:
        assert form not in everything


def texts_without_code(report: Report) -> list[str]:
    """The displayed texts of a report that are not messages of the catalog, so that no page could translate them."""
    commands = {rule.code for rule in RULES if isinstance(rule.command, str)}
    state = report.database
    texts = [text for item in report.recommendations for text in (item.cause, item.evidence)]
    texts += [item.remedy for item in report.recommendations if item.code not in commands]
    texts += [problem["sentence"] for problem in report.variables]
    texts += [rule[name] for rule in report.policy for name in ("name", "reason")]
    texts += [state["error"][name] for name in ("sentence", "remedy") if state["error"] and state["error"][name]]
    texts += [step["detail"] for step in state["steps"] if step["ok"] is False]
    texts += [*state["objections"], *state.get("refusedDefaults", ()), *(state["target"] or {}).get("notes", ())]
    return [text for text in texts if not isinstance(text, Message)]


def environment_page() -> str:
    """The content of the Environment page in this process's environment."""
    app = AppTest.from_file(str(ROOT / "pages" / "environment.py"), default_timeout=30).run()
    current_reader.close()
    assert not app.exception
    return json.dumps([str(element) for element in app.main], ensure_ascii=False)


def connect_traceback() -> str:
    """The traceback of a failed connection, with all chained errors, as a host's log prints it."""
    try:
        locate(settings.load(strict=False, connect_timeout_s=0.3)).connect().close()
    except TrackerError as error:
        return "".join(traceback.format_exception(error))
    return ""


def count_open_connections(setup) -> int:
    """The report's connections that are still open on the server; 0 behind a pooler, which keeps its connections."""
    if setup.through_pooler or setup.fixture("pooled"):
        return 0
    query = (
        "SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'token-tracker diagnosis%%'"
        " AND datname = current_database()"
    )
    try:
        eventually(lambda: value(setup.plain_url, query) == 0, within_s=5)
    except AssertionError:
        return int(value(setup.plain_url, query))
    return 0


def process_title() -> str:
    """This process's command line as `ps` prints it."""
    return Path("/proc/self/cmdline").read_text() if Path("/proc/self/cmdline").exists() else ""


def setup_secrets() -> set[str]:
    """The passwords in this setup's DATABASE_URL."""
    passwords = {"p4ssw0rd", "50%off-s3cr3t", "not-the-p4ssword"}
    return {text for text in passwords if text in os.environ.get("DATABASE_URL", "")}


def alerts(setup) -> list[str]:
    if not value(setup.plain_url, "SELECT to_regclass('token_tracker_alerts') IS NOT NULL"):
        return []
    return [str(value(setup.plain_url, "SELECT coalesce(json_agg(a)::text, '') FROM token_tracker_alerts AS a"))]
