"""The minutes and hours of a local clock, and the hours of a range that a filter on weekday or hour selects."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

from tracker.rollups.range_plan import EPOCH, epoch_us

_MINUTE_US, _HOUR_US = 60_000_000, 3_600_000_000
_SIZES_US = {"minute": _MINUTE_US, "hour": _HOUR_US}
_SCAN_STEP_US = 6 * _HOUR_US
"""Two changes of one time zone are always further apart."""
_MICROSECOND = timedelta(microseconds=1)
Interval = tuple[int, int]
"""A start and an end in microseconds of the epoch."""


def clock_edges(start: datetime, end: datetime, timezone: str, bucket: str) -> Iterator[tuple[int, datetime]]:
    """The start (microseconds of the epoch) and the label of each local minute or hour, in order of time.

    A repeated local hour occurs twice. A range without length has the minute or hour that contains it.
    """
    size_us, last_label = _SIZES_US[bucket], None
    for start_us, until_us, offset_us in _offset_periods(epoch_us(start), epoch_us(end), ZoneInfo(timezone)):
        edge_us = start_us
        while edge_us < until_us or last_label is None:
            local_us = (edge_us + offset_us) // size_us * size_us
            label = (EPOCH + timedelta(microseconds=local_us)).replace(tzinfo=None)
            if label != last_label:
                yield edge_us, label
            last_label = label
            edge_us = local_us + size_us - offset_us


def _offset_periods(start_us: int, end_us: int, zone: ZoneInfo) -> Iterator[tuple[int, int, int]]:
    """The periods of the range with one UTC offset: start, end and offset, in microseconds."""
    period_us, time_us, offset_us = start_us, start_us, _offset_us(start_us, zone)
    while time_us < end_us:
        following_us = min(time_us + _SCAN_STEP_US, end_us)
        if (following := _offset_us(following_us, zone)) != offset_us:
            change_us = _find_change(time_us, following_us, offset_us, zone)
            yield period_us, change_us, offset_us
            period_us, offset_us = change_us, following
        time_us = following_us
    yield period_us, end_us, offset_us


def _find_change(low_us: int, high_us: int, offset_us: int, zone: ZoneInfo) -> int:
    """The time at which the offset is no longer `offset_us`, a whole second after `low_us` and up to `high_us`."""
    low, high = low_us // 1_000_000, -(-high_us // 1_000_000)
    while high - low > 1:
        middle = (low + high) // 2
        if _offset_us(middle * 1_000_000, zone) == offset_us:
            low = middle
        else:
            high = middle
    return high * 1_000_000


def _offset_us(time_us: int, zone: ZoneInfo) -> int:
    offset = (EPOCH + timedelta(microseconds=time_us)).astimezone(zone).utcoffset()
    return (offset or timedelta()) // _MICROSECOND


@lru_cache(maxsize=16)
def selected_hours(
    start: datetime, end: datetime, timezone: str, weekday: int | None, hour_of_day: int | None
) -> tuple[Interval, ...]:
    """The intervals of the range with this local weekday (0 is Monday) and this hour, adjacent hours merged."""
    edges = [*clock_edges(start.astimezone(UTC), end.astimezone(UTC), timezone, "hour")]
    ends = [*(edge_us for edge_us, _ in edges[1:]), epoch_us(end)]
    intervals: list[Interval] = []
    for (edge_us, label), until_us in zip(edges, ends, strict=True):
        if weekday not in {None, label.weekday()} or hour_of_day not in {None, label.hour}:
            continue
        if intervals and intervals[-1][1] == edge_us:
            intervals[-1] = intervals[-1][0], until_us
        else:
            intervals.append((edge_us, until_us))
    return tuple(intervals)
