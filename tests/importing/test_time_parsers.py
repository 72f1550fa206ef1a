"""A time in a file is read by a rule that allows one meaning, or refused."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracker.importing.time_parsers import parse_time

TIME = datetime(2026, 1, 5, 10, 15, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "zone", "time"),
    [
        ("2026-01-05T10:15:00Z", "UTC", TIME),
        ("2026-01-05 10:15:00", "UTC", TIME),
        ("2026-01-05 10:15:00 UTC", "Asia/Seoul", TIME),
        ("2026-01-05 19:15", "Asia/Seoul", TIME),
        ("2026-01-05T19:15:00+09:00", "UTC", TIME),
        ("20260105", "UTC", datetime(2026, 1, 5, tzinfo=UTC)),
        ("20260105", "Asia/Seoul", datetime(2026, 1, 4, 15, tzinfo=UTC)),
        ("202601051015", "UTC", TIME),
        ("20260105101500", "UTC", TIME),
        ("20260105101500Z", "Asia/Seoul", TIME),
        ("20260105191500", "Asia/Seoul", TIME),
        ("20260105191500+0900", "UTC", TIME),
        ("20260105101500.250", "UTC", TIME + timedelta(milliseconds=250)),
        ("1767608100", "Asia/Seoul", TIME),
        ("1767608100.25", "UTC", TIME + timedelta(milliseconds=250)),
        ("1767608100250", "UTC", TIME + timedelta(milliseconds=250)),
        ("1767608100250.5", "UTC", TIME + timedelta(microseconds=250_500)),
        ("1767608100250001", "UTC", TIME + timedelta(microseconds=250_001)),
        ("1767608100250001999", "UTC", TIME + timedelta(microseconds=250_001)),
        ("46027", "UTC", datetime(2026, 1, 5, tzinfo=UTC)),
        ("46027.4166", "UTC", datetime(2026, 1, 5, 9, 59, 54, 240_000, tzinfo=UTC)),
        ("46027.5", "Asia/Seoul", datetime(2026, 1, 5, 3, tzinfo=UTC)),
        ("36526", "UTC", datetime(2000, 1, 1, tzinfo=UTC)),
        ("73050", "UTC", datetime(2099, 12, 31, tzinfo=UTC)),
    ],
)
def test_a_time_is_read(text, zone, time):
    assert parse_time(text, zone) == time


@pytest.mark.parametrize(
    "text",
    [
        *("0", "1", "2026", "36525", "73051", "123456", "1234567", "946684799", "99999999"),
        *("17676081002", "4133980801", "9999999999999", "20261305101500", "202601052515"),
        *("9223372036854775807", "17676081002500", "12345678901234567890", "1767608100Z", "46027Z", "-1767608100"),
        *("20260105.5", "1e9", "1_767_608_100", "١٧٦٧٦٠٨١٠٠", "yesterday", "", "05/01/2026", "NaN"),
    ],
)
def test_a_number_with_another_meaning_is_refused(text):
    with pytest.raises(ValueError):
        parse_time(text, "UTC")


# Since then an epoch number has ten digits of seconds.
_EPOCH_RANGE = (datetime(2001, 9, 9, 2), datetime(2100, 1, 1))  # noqa: DTZ001  Hypothesis takes naive limits


@given(st.datetimes(*_EPOCH_RANGE), st.sampled_from([1, 10**3, 10**6, 10**9]))
def test_an_epoch_number_of_any_unit_is_the_same_time(time, unit):
    time = time.replace(tzinfo=UTC)
    microseconds = (time - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)
    assert abs(parse_time(str(microseconds * unit // 10**6), "UTC") - time) < timedelta(seconds=1)


@given(st.text(max_size=30) | st.from_regex(r"\d{1,22}(\.\d{0,9})?Z?", fullmatch=True))
def test_any_text_is_a_time_or_a_value_error(text):
    try:
        time = parse_time(text, "Africa/Abidjan")
    except (ValueError, OverflowError):
        return
    assert time.utcoffset() == timedelta(0)
