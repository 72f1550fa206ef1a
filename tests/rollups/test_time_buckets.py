"""The time buckets of a range are those of the local clock, in each time zone and on each day."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo, available_timezones

import pandas as pd
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tracker.errors import SettingError
from tracker.reports import Filters
from tracker.reports.time_buckets import bucket_labels, bucket_segments
from tracker.rollups.range_plan import EPOCH, epoch_us

LENGTHS = [
    timedelta(0),
    timedelta(minutes=30),
    timedelta(minutes=100),
    timedelta(hours=7),
    timedelta(hours=50),
    timedelta(days=6),
    timedelta(days=140),
    timedelta(days=1000),
]


def next_clock_change(zone: ZoneInfo, after: datetime) -> datetime:
    """The next clock change of the zone, to the second; an arbitrary time if there is none."""
    low, offset = after, after.astimezone(zone).utcoffset()
    for _ in range(400):
        if (low + timedelta(days=1)).astimezone(zone).utcoffset() != offset:
            break
        low += timedelta(days=1)
    high = low + timedelta(days=1)
    while high - low > timedelta(seconds=1):
        middle = low + timedelta(seconds=(high - low) // timedelta(seconds=2))
        low, high = (middle, high) if middle.astimezone(zone).utcoffset() == offset else (low, middle)
    return high


@st.composite
def ranges(draw: st.DrawFn) -> Filters:
    zone = ZoneInfo(draw(st.sampled_from(sorted(available_timezones()))))
    year = draw(st.one_of(st.integers(1970, 2037), st.integers(1880, 2037)))
    at = next_clock_change(zone, datetime(year, 1, 1, tzinfo=UTC) + timedelta(days=draw(st.integers(0, 365))))
    start = at - draw(
        st.one_of(
            st.sampled_from([timedelta(0), timedelta(minutes=90)]), st.timedeltas(timedelta(0), timedelta(days=3))
        )
    )
    ends = st.one_of(
        st.sampled_from(LENGTHS).map(lambda length: start + length),
        st.sampled_from([at, at + timedelta(minutes=30), at + timedelta(hours=1)]),
    )
    return Filters(start=start, end=draw(ends), timezone=zone.key)


def expected_label(moment: datetime, filters: Filters) -> pd.Timestamp:
    """The label of the bucket of a time."""
    wall = pd.Timestamp(moment.astimezone(ZoneInfo(filters.timezone)).replace(tzinfo=None))
    if filters.bucket == "week":
        return wall.normalize() - pd.Timedelta(days=wall.weekday())
    if filters.bucket == "month":
        return wall.normalize().replace(day=1)
    return wall.floor({"minute": "min", "hour": "h", "day": "D"}[filters.bucket])


def at(text: str, length: timedelta, zone: str) -> Filters:
    start = datetime.fromisoformat(text)
    return Filters(start=start, end=start + length, timezone=zone)


@settings(max_examples=150)
@given(filters=ranges())
@example(at("2026-10-25T00:00Z", timedelta(hours=1), "Europe/Berlin"))  # ends where two o'clock occurs again
@example(at("2026-04-04T14:45Z", timedelta(minutes=25), "Australia/Lord_Howe"))  # ends before its start in local time
@example(at("2026-11-01T04:00Z", timedelta(days=0), "America/Havana"))
@example(at("2005-04-01T11:01Z", timedelta(hours=41), "America/St_Johns"))  # changed at a minute past midnight
@example(at("1881-02-04T23:47:03.999999Z", timedelta(minutes=30), "Brazil/West"))  # local mean time: odd seconds
@example(at("1911-12-31T22:46:08.000001Z", timedelta(minutes=100), "Africa/Abidjan"))
@example(at("1911-12-30T23:59:59.999999Z", timedelta(hours=50), "Africa/Abidjan"))
@example(at("1911-12-30T12:00:00.5Z", timedelta(days=6), "Africa/Abidjan"))
def test_each_time_is_in_the_bucket_of_its_local_time(filters: Filters) -> None:
    labels, position = bucket_labels(filters), epoch_us(filters.start)
    for segment in bucket_segments(filters):
        assert segment.start_us == position
        position = segment.until_us
        for moment in (segment.start_us, (segment.start_us + segment.until_us) // 2, segment.until_us - 1):
            assert labels[segment.step] == expected_label(EPOCH + timedelta(microseconds=moment), filters)
    assert position == epoch_us(filters.end)
    assert len(labels) > 0


def test_a_range_within_a_repeated_hour_is_valid() -> None:
    berlin = ZoneInfo("Europe/Berlin")
    start = datetime(2026, 10, 25, 2, 45, tzinfo=berlin)
    end = datetime(2026, 10, 25, 2, 15, fold=1, tzinfo=berlin)
    filters = Filters(start=start, end=end, timezone="Europe/Berlin")
    assert filters.bucket == "minute"
    assert sum(segment.until_us - segment.start_us for segment in bucket_segments(filters)) == 30 * 60 * 1_000_000
    with pytest.raises(SettingError, match="must not end before it starts"):
        Filters(start=end, end=start, timezone="Europe/Berlin")


@pytest.mark.parametrize("zone", ["", "Mars/Base", "Europe", "../../etc/passwd", "UTC\0", "x" * 300])
def test_an_unknown_time_zone_raises_a_setting_error(zone: str) -> None:
    now = datetime.now(UTC)
    with pytest.raises(SettingError, match="no time zone"):
        Filters(start=now, end=now, timezone=zone)
