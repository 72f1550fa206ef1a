"""What is broken, made for real, and the cause that is named first; never a secret, never more than ten seconds."""

from __future__ import annotations

import json
import logging
import os
import time
import traceback
from pathlib import Path

import pytest
from asgi_support import get
from broken_support import SETUPS, secret_forms
from streamlit.testing.v1 import AppTest
from support import ROOT, a_call, eventually, value

from tracker import Tracker, settings
from tracker.cli import main
from tracker.database.locate import locate
from tracker.diagnostics.debug_api import DebugApp
from tracker.diagnostics.report import build
from tracker.errors import TrackerError
from tracker.reports.engine import current_reader

VERCEL = {"VERCEL": "1", "VERCEL_ENV": "production", "VERCEL_REGION": "icn1"}


def test_there_are_forty_set_ups_and_more():
    assert len(SETUPS) >= 40


@pytest.fixture
def prepared(request, place, monkeypatch, tmp_path, secret, token):
    """A set-up in force in this process's environment; its name and the code of its cause."""
    place.cause, make = SETUPS[request.param]
    variables = {**VERCEL, "TRACKER_DEBUG_TOKEN": token, "TMPDIR": str(tmp_path), **make(place)}
    for name, text in variables.items():
        monkeypatch.setenv(name, text)
    return place.cause


@pytest.mark.parametrize("prepared", list(SETUPS), indirect=True)
def test_the_true_cause_is_named_first_and_no_secret_is_told(prepared, place, secret, token, caplog, capsys):
    caplog.set_level(logging.DEBUG)
    started = time.monotonic()
    report = build(clock=lambda: time.time() + place.clock_offset_s)
    assert time.monotonic() - started < 10
    # A server of --database-url may be without TLS, whatever else is broken.
    first = next(found for found in report.recommendations if found.code == prepared or found.code != "not_encrypted")
    told = json.dumps(report.as_dict(), ensure_ascii=False)
    assert first.code == prepared, told
    assert first.cause and first.evidence and first.remedy
    assert report.healthy == all(r.severity != "error" or r.code == "exposed_secret" for r in report.recommendations)
    assert left_open(place) == 0

    answer = get(DebugApp(), {"authorization": f"Bearer {token}"})
    assert answer.status == (200 if report.healthy else 503)
    if place.lasts:
        assert prepared in [found["code"] for found in answer.json["recommendations"]][:2]
    main(["doctor"])
    with Tracker(deadline_s=0.3, mode="direct", max_retries=0) as recorder:
        outcome = recorder.record(a_call())
        shown = [
            repr(recorder),
            repr(recorder.settings),
            repr(outcome),
            repr(report),
            repr(settings.load(strict=False)),
        ]
    printed = capsys.readouterr()
    shown.append(page())
    everything = "\n".join(
        [
            told,
            answer.body.decode(),
            printed.out,
            printed.err,
            caplog.text,
            *shown,
            raised(),
            process_title(),
            *alerts(place),
        ]
    )
    for form in {*secret_forms(secret), *secret_forms(token), *odd_secrets()}:
        assert form not in everything


def page() -> str:
    """Everything on the Environment page, as it is in this process's environment."""
    app = AppTest.from_file(str(ROOT / "pages" / "environment.py"), default_timeout=30).run()
    current_reader.close()
    assert not app.exception
    return json.dumps([str(element) for element in app.main], ensure_ascii=False)


def raised() -> str:
    """The traceback of what connecting raises, as a host's own log would print it: with every error that led to it."""
    try:
        locate(settings.load(strict=False, connect_timeout_s=0.3)).connect().close()
    except TrackerError as error:
        return "".join(traceback.format_exception(error))
    return ""


def left_open(place) -> int:
    """Connections of the report that the server still holds; what a pooler keeps is its own."""
    if place.through_pooler or place.fixture("pooled"):
        return 0
    question = (
        "SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'token-tracker diagnosis%%'"
        " AND datname = current_database()"
    )
    try:
        eventually(lambda: value(place.plain_url, question) == 0, within_s=5)
    except AssertionError:
        return int(value(place.plain_url, question))
    return 0


def process_title() -> str:
    """What `ps` shows of this process."""
    return Path("/proc/self/cmdline").read_text() if Path("/proc/self/cmdline").exists() else ""


def odd_secrets() -> set[str]:
    """What stands in the place of a password in this set-up's address."""
    found = {"p4ssw0rd", "50%off-s3cr3t", "not-the-p4ssword"}
    return {text for text in found if text in os.environ.get("DATABASE_URL", "")}


def alerts(place) -> list[str]:
    if not value(place.plain_url, "SELECT to_regclass('token_tracker_alerts') IS NOT NULL"):
        return []
    return [str(value(place.plain_url, "SELECT coalesce(json_agg(a)::text, '') FROM token_tracker_alerts AS a"))]
