"""The parts of the pages: formats, ranges, flags, redaction, and downloads."""

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
from tracker.diagnostics.environment_flags import connection_policy, read_flags, url_notes
from tracker.redaction import RedactSecrets, redact
from tracker.reports.usage_totals import Extent

SEOUL = ZoneInfo("Asia/Seoul")


@pytest.fixture(autouse=True)
def pages_on_path() -> Iterator[None]:
    """Streamlit puts the shell's directory first; so does this."""
    sys.path.insert(0, str(ROOT / "pages"))
    yield
    sys.path.remove(str(ROOT / "pages"))


@pytest.mark.parametrize(
    ("value", "shown"), [(0, "0"), (28_185, "28,185"), (123_456, "123K"), (97_214_003, "97.2M"), (1.5e9, "1.5B")]
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
def test_money_has_its_significant_decimals(value: float | None, shown: str) -> None:
    from pages.support.formats import usd

    assert usd(value) == shown


def test_a_change_from_zero_is_none() -> None:
    from pages.support.formats import percent_change

    assert [percent_change(5, 0), percent_change(5, 5), percent_change(6, 5), percent_change(4, 5)] == [
        None,
        0,
        "+20%",
        "-20%",
    ]


@pytest.mark.parametrize(
    ("name", "start", "previous_start", "previous_end"),
    [
        ("today", "2026-03-31 00:00", "2026-03-30 00:00", "2026-03-30 15:30"),
        ("7d", "2026-03-25 00:00", "2026-03-18 00:00", "2026-03-24 15:30"),
        ("24h", "2026-03-30 15:30", "2026-03-29 15:30", "2026-03-30 15:30"),
        ("month", "2026-03-01 00:00", "2026-02-01 00:00", "2026-03-01 00:00"),
    ],
)
def test_a_range_is_compared_with_the_same_hours_of_the_previous_range(
    name: str, start: str, previous_start: str, previous_end: str
) -> None:
    from pages.widgets.time_range import resolve_range

    moment = datetime(2026, 3, 31, 15, 30, tzinfo=SEOUL)
    found = resolve_range(name, moment, None, lambda: Extent(None, None))
    assert found.previous is not None
    shown = [f"{at:%Y-%m-%d %H:%M}" for at in (found.filters.start, found.previous.start, found.previous.end)]
    assert shown == [start, previous_start, previous_end]
    assert found.filters.timezone == "Asia/Seoul"


@pytest.mark.parametrize(("name", "hours"), [("1h", 1), ("24h", 24)])
@pytest.mark.parametrize("zone", ["Asia/Seoul", "Europe/Berlin", "America/New_York", "Asia/Kathmandu"])
@pytest.mark.parametrize(
    "at", ["2026-03-29 12:59:59.5", "2026-03-08 20:00", "2026-10-25 01:00", "2026-11-01 06:30", "2026-11-01 20:17:41"]
)
def test_a_range_of_hours_has_exactly_this_length_also_when_the_clock_changes(
    name: str, hours: int, zone: str, at: str
) -> None:
    from pages.widgets.time_range import resolve_range

    now = datetime.fromisoformat(at).replace(tzinfo=UTC)
    found = resolve_range(name, now.astimezone(ZoneInfo(zone)), None, lambda: Extent(None, None))
    assert found.previous is not None
    start, end = found.filters.start.astimezone(UTC), found.filters.end.astimezone(UTC)
    assert (end - start, end - now) == (timedelta(hours=hours), timedelta(seconds=1))
    before = found.previous.start.astimezone(UTC), found.previous.end.astimezone(UTC)
    assert before == (start - timedelta(hours=hours), start)


@pytest.mark.parametrize(
    ("name", "dates"),
    [
        ("1h", "31 Mar 2026, 14:30 – 15:30"),
        ("24h", "30 Mar 2026, 15:30 – 31 Mar 2026, 15:30"),
        ("today", "31 Mar 2026"),
        ("7d", "25 Mar 2026 – 31 Mar 2026"),
        ("30d", "2 Mar 2026 – 31 Mar 2026"),
        ("month", "1 Mar 2026 – 31 Mar 2026"),
        ("2026-03-02..2026-03-03", "2 Mar 2026 – 3 Mar 2026"),
        ("2026-03-02T01:00Z..2026-03-02T04:30Z", "2 Mar 2026, 10:00 – 13:30"),
    ],
)
def test_a_range_states_its_dates(name: str, dates: str) -> None:
    from pages.support.i18n import set_language
    from pages.widgets.time_range import parse_range, resolve_range

    set_language("en")
    moment = datetime(2026, 3, 31, 15, 30, tzinfo=SEOUL)
    selected, days = parse_range(name)
    assert resolve_range(selected, moment, days, lambda: Extent(None, None)).dates == dates


def test_all_time_is_from_the_first_call_to_the_last() -> None:
    from pages.widgets.time_range import resolve_range

    first = datetime(2023, 11, 16, 18, tzinfo=UTC)
    covered = Extent(first, first + timedelta(hours=1))
    found = resolve_range("all", datetime(2026, 3, 31, tzinfo=SEOUL), None, lambda: covered)
    assert (found.filters.start, found.previous) == (first, None)
    assert found.filters.end - first == timedelta(hours=1, seconds=1)
    assert found.filters.bucket == "minute"


@pytest.mark.parametrize("last", [datetime.max.replace(tzinfo=UTC), datetime(9999, 12, 31, tzinfo=UTC)])
def test_all_time_is_clamped_to_supported_times(last: datetime) -> None:
    from pages.widgets.time_range import resolve_range

    covered = Extent(datetime.min.replace(tzinfo=UTC), last)
    found = resolve_range("all", datetime(2026, 3, 31, tzinfo=SEOUL), None, lambda: covered)
    assert (found.filters.start.year, found.filters.end.year) == (1970, 2200)


def test_flags_do_not_show_secrets() -> None:
    env = {"NODE_ENV": "production", "DATABASE_URL": "mysql://u:hunter2@h/d", "GEMINI_API_KEY": "  "}
    found = {flag.name: flag for flag in read_flags(env)}
    assert found["NODE_ENV"].value == "production"
    assert found["DATABASE_URL"].value is None
    assert "mysql" in str(found["DATABASE_URL"].problem)
    assert not found["GEMINI_API_KEY"].is_set
    assert "hunter2" not in str(found)


def test_the_policy_has_reasons() -> None:
    env = {"VERCEL": "1", "VERCEL_REGION": "icn1", "TRACKER_POOL_SIZE": "3"}
    rules = {rule.name: rule for rule in connection_policy(settings.load(env), env)}
    assert rules["Maximum connections"].value == "3"
    assert rules["Maximum connections"].reason == "set by TRACKER_POOL_SIZE"
    assert rules["Idle timeout"].value == "5 s"
    assert rules["Idle timeout"].reason.startswith("Serverless")


def test_a_valid_url_has_no_notes() -> None:
    assert url_notes(settings.load({"DATABASE_URL": "postgresql://u@h/d"})) == ()
    assert url_notes(settings.load({})) == ()
    assert len(url_notes(settings.load({"DATABASE_URL": "postgresql://u@h/d?pgbouncer=true"}))) == 1


def test_logs_contain_no_secret(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GEMINI_API_KEY", "AIza-very-secret")
    assert redact("to postgresql+psycopg2://u:p%40ss@h/d") == "to postgresql+psycopg2://u:***@h/d"
    logger = logging.getLogger("tracker.dashboard.test")
    masking = RedactSecrets()
    logger.addFilter(masking)
    try:
        int("AIza-very-secret")
    except ValueError:
        logger.exception("%s went wrong", "AIza-very-secret")
    assert "very-secret" not in caplog.text
    assert "ValueError" in caplog.text


def test_an_error_anomaly_without_a_usual_value_has_no_factor() -> None:
    from pages.sections.anomalies import anomaly_text
    from tracker.reports.anomalies import Anomaly

    found = Anomaly(measure="errors", model=None, today=8.0, usual=0.3)
    assert anomaly_text(found, "Wed") == "8 calls failed. Usually almost none fail by this time on Wed."


HOSTILE = ["=1+1", "+1", "-2+3", "@SUM(A1)", "\t=1", "\r=1", " =1", "＝1", "plain", "a=b", "", None]


def test_a_csv_download_contains_no_formula() -> None:
    from pages.widgets.downloads import spreadsheet_csv

    data = pd.DataFrame({"=model": HOSTILE, "change": [-1.5] * len(HOSTILE), "calls": [-1] * len(HOSTILE)})
    read = pd.read_csv(io.BytesIO(spreadsheet_csv(data)), keep_default_na=False)
    assert list(read.columns) == ["'=model", "change", "calls"]
    assert list(read["'=model"])[:8] == [f"'{text}" for text in HOSTILE[:8]]
    assert list(read["'=model"])[8:] == ["plain", "a=b", "", ""]
    assert set(read["change"]) == {-1.5}
    assert set(read["calls"]) == {-1}


def test_the_filter_choices_are_grouped_by_dimension_and_sorted() -> None:
    from pages.widgets.filter_pills import _option_order

    choices = [("hour_of_day", "10"), ("user", "bob"), "zoe", ("model", "b"), ("hour_of_day", "9"), ("model", "A")]
    ordered = [("model", "A"), ("model", "b"), ("user", "bob"), "zoe", ("hour_of_day", "9"), ("hour_of_day", "10")]
    assert sorted(choices, key=_option_order) == ordered


@pytest.mark.parametrize(
    ("typed", "pair"),
    [
        ("team = growth", ("metadata.team", "growth")),
        ("team: growth", ("metadata.team", "growth")),
        ("team=", ("metadata.team", "")),
        ("metadata.unseen=a=b", ("metadata.unseen", "a=b")),
        ("metadata.model = x", ("metadata.model", "x")),
        ("a=b: c", ("metadata.a=b", "c")),
        ("a = c", ("metadata.a", "c")),
        ("team = (not set)", ("metadata.team", "(not set)")),
        ("model = gpt", ("model", "gpt")),
        ("weekday = mon", ("weekday", "0")),
        ("unseen = growth", ("user", "unseen = growth")),
        ("dXNlcg==", ("user", "dXNlcg==")),
        ("team", ("user", "team")),
    ],
)
def test_typed_text_becomes_a_filter(typed: str, pair: tuple[str, str]) -> None:
    from pages.widgets.filter_pills import _to_pair

    assert _to_pair(typed, ["a", "team", "a=b", "model"]) == pair
    assert _to_pair(pair) == pair


def test_properties_have_labels_of_one_line_and_one_meaning() -> None:
    from pages.support.property_labels import property_value_label
    from pages.widgets.filter_pills import column_label

    keys = ["team", "model", "Model", "", " ", "metadata.x", "a.b", "x" * 300, "line\nbreak", "שם"]
    labels = [column_label(f"metadata.{key}") for key in keys]
    named = ["metadata.model", "metadata.Model", "metadata.", "metadata. ", "metadata.metadata.x"]
    assert labels[:7] == ["team", *named, "a.b"]
    assert (len(labels[7]), labels[7][-1], labels[8], labels[9]) == (60, "…", "line␊break", "\u2068שם\u2069")
    texts = ["(not set)", "\\(not set)", "", "(empty text)", "unknown", "x" * 10_000, "**b**"]
    shown = [property_value_label(text) for text in texts]
    assert shown == ["(not set)", "\\(not set)", "(empty text)", "\\(empty text)", "unknown", "x" * 99 + "…", "**b**"]


def test_a_pivot_of_very_many_columns_has_the_largest(monkeypatch: pytest.MonkeyPatch) -> None:
    from pages.sections import explorer

    monkeypatch.setattr(explorer, "_MAX_CELLS", 4)
    cells = [[row, column, 10**number] for row in "ab" for number, column in enumerate("xyz")]
    data = pd.DataFrame(cells, columns=["row_name", "column_name", "calls"]).assign(failed_calls=0)
    wide = explorer.pivot(data, "calls", "metadata.a", "metadata.b")
    assert list(wide.columns) == ["z", "y", explorer._TOTAL]
    assert list(wide[explorer._TOTAL]) == [111, 111]
    once = pd.DataFrame([["a", "", 5], ["b", "", 7]], columns=["row_name", "column_name", "calls"])
    assert list(explorer.pivot(data, "calls", "metadata.a", "metadata.b", once)[explorer._TOTAL]) == [7, 5]


def test_the_explorers_file_has_each_number_once() -> None:
    from pages.sections.explorer import download_table, pivot

    data = pd.DataFrame(
        [["gpt", "a", 1], ["gpt", "total", 2], ["gpt", "calls", 4], ["gpt", "model", 8]],
        columns=["row_name", "column_name", "calls"],
    ).assign(failed_calls=0)
    table = download_table(pivot(data, "calls", "model", "operation"), "calls", "model", "operation")
    assert table.to_dict("records") == [{"model": "gpt", "calls": 15, "a": 1, "total": 2, "calls_": 4, "model_": 8}]
    single = data.groupby("row_name", as_index=False)["calls"].sum().assign(column_name="")
    table = download_table(pivot(single, "calls", "model", None), "calls", "model", None)
    assert table.to_dict("records") == [{"model": "gpt", "calls": 15}]


def test_a_download_keeps_duplicate_columns() -> None:
    from pages.widgets.downloads import spreadsheet_csv

    data = pd.DataFrame([["=a", 1, "=b"]], columns=["total", "calls", "total"])
    assert spreadsheet_csv(data).decode().splitlines() == ['"total","calls","total"', """"'=a",1,"'=b\""""]


@pytest.mark.parametrize(
    ("browsers", "zone", "foreign"),
    [("Asia/Seoul", "Asia/Seoul", None), ("Mars/Base", "UTC", "Mars/Base"), (None, "UTC", None)],
)
def test_an_unknown_browser_time_zone_is_replaced_by_utc(monkeypatch, browsers, zone, foreign):
    from pages.widgets import time_range

    monkeypatch.setattr(time_range.st, "context", SimpleNamespace(timezone=browsers))
    assert time_range.default_timezone() == zone
    assert time_range.unknown_browser_timezone() == foreign


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
def test_the_call_details_show_why_counts_are_uncertain(metadata: object, sentence: str) -> None:
    from pages.sections.call_details import _usage_note

    assert _usage_note(metadata).startswith(sentence)
    assert bool(_usage_note(metadata)) == bool(sentence)


def test_the_note_on_uncertain_counts_is_translated(monkeypatch: pytest.MonkeyPatch) -> None:
    from pages.sections.call_details import _usage_note
    from pages.support import message_text

    monkeypatch.setattr(message_text, "language", lambda: "ko")
    assert _usage_note({"usage_note": "reasoning_not_stated"}).startswith("전송 측이 추론 토큰 수를")
