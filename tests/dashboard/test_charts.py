"""Figures, colors and ranges of the charts without a browser."""

from __future__ import annotations

from datetime import UTC, date, datetime, time
from itertools import pairwise

import pandas as pd
import pytest

from pages.support.colors import OTHER_SLOT, Palette
from pages.widgets import chart_range, time_span
from pages.widgets.chart_figures import plain, tick_numbers
from pages.widgets.charts import duration_ticks, highest_shade


def test_a_recent_name_keeps_its_color_whatever_is_drawn() -> None:
    palette = Palette()
    recent = [f"model {number}" for number in range(5)]
    first = palette.assign(recent, recent)
    assert len(set(first.values())) == 5
    assert palette.assign(["model 3", "unseen"], recent)["model 3"] == first["model 3"]
    assert palette.assign(reversed(recent), ["model 4", *recent]) == first


def test_a_name_without_recent_calls_takes_a_color_that_nothing_drawn_has() -> None:
    palette = Palette()
    recent = [f"model {number}" for number in range(9)]
    palette.assign(recent, recent)
    drawn = palette.assign(["model 0", "old"], recent)
    assert drawn["old"] != drawn["model 0"]
    assert drawn["old"] < OTHER_SLOT


def test_a_name_that_has_no_recent_calls_any_more_gives_its_color_back() -> None:
    palette = Palette()
    palette.assign([], [f"old {number}" for number in range(9)])
    recent = [f"new {number}" for number in range(9)]
    assert sorted(palette.assign(recent, recent).values()) == list(range(9))


def test_a_filtered_name_is_never_among_the_others() -> None:
    palette = Palette()
    recent = [f"model {number}" for number in range(9)]
    assert "tenth" not in palette.assign([*recent, "tenth"], recent)
    assert "tenth" in palette.assign([*recent, "tenth"], recent, "tenth")
    assert palette.assign(["tenth"], recent, "tenth").keys() == {"tenth"}
    assert palette.assign(["others"], recent, "others").keys() == {"others"}


def test_a_name_is_no_markup() -> None:
    assert plain('<a href="x">&') == '&lt;a href="x"&gt;&amp;'
    assert len(plain("x" * 500)) == 32


@pytest.mark.parametrize(
    ("bucket", "start", "count", "frequency"),
    [("hour", "2026-11-20 05:00", 24, "h"), ("day", "2026-10-28", 30, "D"), ("month", "2024-01-01", 35, "MS")],
)
def test_ticks_are_few_and_lie_at_round_times(bucket: str, start: str, count: int, frequency: str) -> None:
    buckets = pd.date_range(start, periods=count, freq=frequency)
    ticks = tick_numbers(buckets, bucket)
    assert 3 <= len(ticks) <= 10
    assert len({second - first for first, second in pairwise(ticks)}) == 1
    if bucket == "hour":
        assert all(buckets[tick].hour % 3 == 0 for tick in ticks)


def test_seven_days_have_seven_ticks() -> None:
    assert tick_numbers(pd.date_range("2026-11-20", periods=7, freq="D"), "day") == list(range(7))


@pytest.mark.parametrize(
    ("drag", "expected"),
    [
        ((0.6, 3.4), "2026-11-26T01:00Z..2026-11-26T04:00Z"),
        ((-3.0, 0.1), "2026-11-26T00:00Z..2026-11-26T01:00Z"),
        ((22.0, 99.0), "2026-11-26T22:00Z..2026-11-27T00:00Z"),
    ],
)
def test_a_drag_snaps_to_the_edges_of_buckets_in_utc(drag: tuple[float, float], expected: str) -> None:
    buckets = pd.date_range("2026-11-26 09:00", periods=24, freq="h")  # Seoul
    assert chart_range.dragged(*drag, buckets, "hour", "Asia/Seoul") == expected


def test_a_drag_across_a_change_of_clocks_covers_the_whole_days() -> None:
    buckets = pd.date_range("2026-10-24", periods=3, freq="D")
    text = chart_range.dragged(1, 1, buckets, "day", "Europe/Berlin")
    assert text == "2026-10-24T22:00Z..2026-10-25T23:00Z"


def test_one_outlier_does_not_bleach_the_heat_map() -> None:
    values = pd.DataFrame([[1.0, 2, 3, 4, 5, 6, 7, 8, 9, 10_000]]).to_numpy()
    assert highest_shade(values) < 30
    assert highest_shade(values * 0) == 1


@pytest.mark.parametrize(("low", "high"), [(0.3, 40.0), (0.001, 90_000.0), (3.1, 3.2)])
def test_durations_have_round_ticks_within_their_range(low: float, high: float) -> None:
    ticks = duration_ticks(low, high)
    assert 1 <= len(ticks) <= 9
    assert all(low <= tick <= high for tick in ticks)


def test_buckets_that_the_range_cuts_or_that_still_run_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chart_range, "user_timezone", lambda: "Asia/Seoul")
    buckets = pd.date_range("2026-11-26 09:00", periods=4, freq="h")
    edges = datetime(2026, 11, 26, 0, 30, tzinfo=UTC), datetime(2026, 11, 26, 3, 30, tzinfo=UTC)
    later, within = pd.Timestamp("2026-11-27"), pd.Timestamp("2026-11-26 12:10")
    assert chart_range.bucket_notes(buckets, "hour", later, edges) == [", partial", "", "", ", partial"]
    assert chart_range.bucket_notes(buckets, "hour", within, edges) == [", partial", "", "", ", so far"]
    assert chart_range.bucket_notes(buckets, "hour", later, None) == [""] * 4


def test_a_clicked_bar_is_two_utc_times_within_the_range(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chart_range, "user_timezone", lambda: "Asia/Seoul")
    buckets = pd.date_range("2026-11-26 09:00", periods=4, freq="h")
    edges = datetime(2026, 11, 26, 0, 30, tzinfo=UTC), datetime(2026, 11, 26, 3, 30, tzinfo=UTC)
    one, two, three = (datetime(2026, 11, 26, hour, tzinfo=UTC) for hour in (1, 2, 3))
    assert chart_range.bucket_span(buckets, "hour", 1, edges) == (one, two)
    assert chart_range.bucket_span(buckets, "hour", 0, edges) == (edges[0], one)
    assert chart_range.bucket_span(buckets, "hour", 3, edges) == (three, edges[1])
    assert chart_range.bucket_span(buckets, "hour", 3, None) == (three, datetime(2026, 11, 26, 4, tzinfo=UTC))


def test_days_and_times_of_the_readers_clock_become_utc_in_the_link() -> None:
    days, nine, half_past_one = (date(2026, 11, 26), date(2026, 11, 26)), time(9), time(13, 30)
    assert time_span.format_span(days, nine, half_past_one, "Asia/Seoul") == "2026-11-26T00:00Z..2026-11-26T04:30Z"
    assert time_span.format_span(days, nine, time(), "Asia/Seoul") == "2026-11-26T00:00Z..2026-11-26T15:00Z"
    assert time_span.format_span(days, time(), time(), "Asia/Seoul") == "2026-11-26"
    assert time_span.format_span(days, half_past_one, nine, "Asia/Seoul") == "2026-11-26"


@pytest.mark.parametrize(
    "text",
    ["T", "2026-11-26T01:00Z", "2026-11-26T04:00Z..2026-11-26T01:00Z", "0001-01-01T00:00Z..9999-12-31T00:00Z", "aT..b"],
)
def test_broken_instants_are_no_range(text: str) -> None:
    assert time_span.parse_instants(text) is None


def test_a_range_of_instants_is_compared_with_the_same_times_of_the_day_before() -> None:
    from pages.widgets.time_range import parse_range, resolve_range

    name, days = parse_range("2026-11-26T01:00Z..2026-11-26T04:30Z")
    found = resolve_range(name, datetime(2026, 11, 26, 12, tzinfo=UTC), days, lambda: None)  # type: ignore[arg-type, return-value]
    assert (found.filters.start, found.filters.end) == days
    assert found.previous is not None
    assert found.previous.end == datetime(2026, 11, 25, 4, 30, tzinfo=UTC)
