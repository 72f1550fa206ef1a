"""What the pages are made of: numbers as people read them, ranges, flags, masking."""

from __future__ import annotations

import io
import logging
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from types import SimpleNamespace
from zoneinfo import ZoneInfo

import pandas as pd
import pytest
from support import ROOT

from tracker import settings
from tracker.diagnostics.environment_flags import flags, policy, url_notes
from tracker.redaction import MaskSecrets, mask
from tracker.reports.usage_totals import Extent

SEOUL = ZoneInfo("Asia/Seoul")


@pytest.fixture(autouse=True)
def pages_on_path() -> Iterator[None]:
    """Streamlit puts the shell's directory first; so does this."""
    sys.path.insert(0, str(ROOT / "pages"))
    yield
    sys.path.remove(str(ROOT / "pages"))


@pytest.mark.parametrize(
    ("value", "shown"), [(0, "0"), (28_185, "28,185"), (123_456, "123 k"), (97_214_003, "97.2 M"), (1.5e9, "1.5 B")]
)
def test_counts_are_short(value: float, shown: str) -> None:
    from pages.support.formats import count

    assert count(value) == shown


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (None, "unpriced"),
        (float("nan"), "unpriced"),
        (Decimal(0), "$0"),
        (Decimal("4610.4"), "$4,610"),
        (50.782, "$50.78"),
        (0.0042, "$0.0042"),
        (Decimal("0.0000026"), "$0.000003"),
        (Decimal("0.0006"), "$0.0006"),
        (Decimal("0.0000001"), "< $0.000001"),
    ],
)
def test_money_keeps_the_decimals_that_matter(value: float | None, shown: str) -> None:
    from pages.support.formats import usd

    assert usd(value) == shown


def test_a_change_says_nothing_when_nothing_was_before() -> None:
    from pages.support.formats import change

    assert [change(5, 0), change(5, 5), change(6, 5), change(4, 5)] == [None, 0, "+20 %", "-20 %"]


@pytest.mark.parametrize(
    ("name", "start", "before_start", "before_end"),
    [
        ("today", "2026-03-31 00:00", "2026-03-30 00:00", "2026-03-30 15:30"),
        ("7d", "2026-03-25 00:00", "2026-03-18 00:00", "2026-03-24 15:30"),
        ("24h", "2026-03-30 16:00", "2026-03-29 16:00", "2026-03-30 15:30"),
        ("month", "2026-03-01 00:00", "2026-02-01 00:00", "2026-03-01 00:00"),
    ],
)
def test_a_range_is_compared_with_the_same_hours_before(
    name: str, start: str, before_start: str, before_end: str
) -> None:
    from pages.widgets.time_range import resolve

    moment = datetime(2026, 3, 31, 15, 30, tzinfo=SEOUL)
    found = resolve(name, moment, None, lambda: Extent(None, None))
    assert found.before is not None
    shown = [f"{at:%Y-%m-%d %H:%M}" for at in (found.filters.start, found.before.start, found.before.end)]
    assert shown == [start, before_start, before_end]
    assert found.filters.timezone == "Asia/Seoul"


def test_all_time_is_from_the_first_call_to_the_last() -> None:
    from pages.widgets.time_range import resolve

    first = datetime(2023, 11, 16, 18, tzinfo=UTC)
    covered = Extent(first, first + timedelta(hours=1))
    found = resolve("all", datetime(2026, 3, 31, tzinfo=SEOUL), None, lambda: covered)
    assert (found.filters.start, found.before) == (first, None)
    assert found.filters.end - first == timedelta(hours=1, seconds=1)
    assert found.filters.bucket == "minute"


@pytest.mark.parametrize("last", [datetime.max.replace(tzinfo=UTC), datetime(9999, 12, 31, tzinfo=UTC)])
def test_all_time_ends_before_clocks_do(last: datetime) -> None:
    from pages.widgets.time_range import resolve

    covered = Extent(datetime.min.replace(tzinfo=UTC), last)
    found = resolve("all", datetime(2026, 3, 31, tzinfo=SEOUL), None, lambda: covered)
    assert (found.filters.start.year, found.filters.end.year) == (1970, 2200)


def test_flags_show_the_value_of_no_secret() -> None:
    env = {"NODE_ENV": "production", "DATABASE_URL": "mysql://u:hunter2@h/d", "GEMINI_API_KEY": "  "}
    found = {flag.name: flag for flag in flags(env)}
    assert found["NODE_ENV"].value == "production"
    assert found["DATABASE_URL"].value is None
    assert "mysql" in str(found["DATABASE_URL"].problem)
    assert not found["GEMINI_API_KEY"].is_set
    assert "hunter2" not in str(found)


def test_the_policy_says_why() -> None:
    env = {"VERCEL": "1", "VERCEL_REGION": "icn1", "TRACKER_POOL_SIZE": "3"}
    rules = {rule.name: rule for rule in policy(settings.load(env), env)}
    assert rules["Connections at most"].value == "3"
    assert rules["Connections at most"].reason == "TRACKER_POOL_SIZE says so"
    assert rules["Closed when idle for"].value == "5 s"
    assert rules["Closed when idle for"].reason.startswith("Serverless")


def test_a_clean_url_leaves_no_note() -> None:
    assert url_notes(settings.load({"DATABASE_URL": "postgresql://u@h/d"})) == ()
    assert url_notes(settings.load({})) == ()
    assert len(url_notes(settings.load({"DATABASE_URL": "postgresql://u@h/d?pgbouncer=true"}))) == 1


def test_logs_hold_no_secret(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GEMINI_API_KEY", "AIza-very-secret")
    assert mask("to postgresql+psycopg2://u:p%40ss@h/d") == "to postgresql+psycopg2://u:***@h/d"
    logger = logging.getLogger("tracker.dashboard.test")
    masking = MaskSecrets()
    logger.addFilter(masking)
    try:
        int("AIza-very-secret")
    except ValueError:
        logger.exception("%s went wrong", "AIza-very-secret")
    assert "very-secret" not in caplog.text
    assert "ValueError" in caplog.text


def test_what_hardly_ever_fails_is_no_multiple_of_zero() -> None:
    from pages.sections.anomalies import sentence
    from tracker.reports.anomalies import Unusual

    found = Unusual(measure="errors", model=None, today=8.0, usual=0.3)
    assert sentence(found, "Wed") == "8 calls failed, where usually hardly any do by this time on Wed."


HOSTILE = ["=1+1", "+1", "-2+3", "@SUM(A1)", "\t=1", "\r=1", " =1", "＝1", "plain", "a=b", "", None]


def test_a_spreadsheet_takes_no_text_of_a_download_for_a_formula() -> None:
    from pages.widgets.downloads import spreadsheet_csv

    data = pd.DataFrame({"=model": HOSTILE, "change": [-1.5] * len(HOSTILE), "calls": [-1] * len(HOSTILE)})
    read = pd.read_csv(io.BytesIO(spreadsheet_csv(data)), keep_default_na=False)
    assert list(read.columns) == ["'=model", "change", "calls"]
    assert list(read["'=model"])[:8] == [f"'{text}" for text in HOSTILE[:8]]
    assert list(read["'=model"])[8:] == ["plain", "a=b", "", ""]
    assert set(read["change"]) == {-1.5}
    assert set(read["calls"]) == {-1}


def test_a_download_with_two_columns_of_one_name_keeps_both() -> None:
    from pages.widgets.downloads import spreadsheet_csv

    data = pd.DataFrame([["=a", 1, "=b"]], columns=["total", "calls", "total"])
    assert spreadsheet_csv(data).decode().splitlines() == ['"total","calls","total"', """"'=a",1,"'=b\""""]


@pytest.mark.parametrize(
    ("browsers", "zone", "foreign"),
    [("Asia/Seoul", "Asia/Seoul", None), ("Mars/Base", "UTC", "Mars/Base"), (None, "UTC", None)],
)
def test_where_the_browsers_zone_is_unknown_utc_stands_in_and_is_stated(monkeypatch, browsers, zone, foreign):
    from pages.widgets import time_range

    monkeypatch.setattr(time_range.st, "context", SimpleNamespace(timezone=browsers))
    assert time_range.home_zone() == zone
    assert time_range.foreign_zone() == foreign


@pytest.mark.parametrize(
    ("metadata", "sentence"),
    [
        (None, ""),
        ({"source": "otlp"}, ""),
        (
            {"usage_note": "cache_not_stated"},
            "The sender states no cached tokens, and its input does not include them.",
        ),
        ({"usage_note": "a_code_of_a_newer_version"}, "a_code_of_a_newer_version"),
        ({"usage_problem": "total_mismatch", "usage_note": "cache_not_stated"}, "The stated total does not match"),
    ],
)
def test_the_call_card_states_why_counts_are_uncertain(metadata: object, sentence: str) -> None:
    from pages.sections.call_details import _usage_note

    assert _usage_note(metadata).startswith(sentence)
    assert bool(_usage_note(metadata)) == bool(sentence)


def test_the_sentence_about_uncertain_counts_is_korean_for_a_korean_reader(monkeypatch: pytest.MonkeyPatch) -> None:
    from pages.sections.call_details import _usage_note
    from pages.support import message_text

    monkeypatch.setattr(message_text, "language", lambda: "ko")
    assert _usage_note({"usage_note": "reasoning_not_stated"}).startswith("전송 측이 추론 토큰 수를")
