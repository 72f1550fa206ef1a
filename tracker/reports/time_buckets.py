"""The time buckets of a range in the reader's time zone: their labels and their segments of the range.

A label is a naive datetime: the local time at which the bucket begins.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from math import gcd
from typing import Literal
from zoneinfo import ZoneInfo

import pandas as pd

from tracker.reports.filters import Bucket, Filters
from tracker.rollups.range_plan import Segment, epoch_us

_SCAN_STEP_S = {"minute": 60, "hour": 900}


@dataclass(frozen=True, slots=True)
class _TimeBuckets:
    labels: pd.DatetimeIndex
    segments: tuple[Segment, ...]


def bucket_labels(filters: Filters) -> pd.DatetimeIndex:
    """The label of each bucket of the range. A chart reindexes to it, so that a bucket without calls is 0."""
    return _time_buckets(filters).labels


def bucket_segments(filters: Filters) -> tuple[Segment, ...]:
    """The range as segments; `step` is a position in `bucket_labels`."""
    return _time_buckets(filters).segments


def range_segments(filters: Filters) -> tuple[Segment, ...]:
    """The range as one segment with step 0."""
    return (Segment(epoch_us(filters.start), epoch_us(filters.end), 0),)


def hour_of_week_segments(filters: Filters) -> list[Segment]:
    """The range as one segment per local hour; `step` is the hour of the week, 0 to 167 (0 is Monday 00:00)."""
    end = filters.end.astimezone(UTC)
    edges = _clock_edges(filters.start.astimezone(UTC), end, filters.timezone, "hour")
    ends = [*(start for start, _ in edges[1:]), end]
    return [
        Segment(epoch_us(start), epoch_us(until), label.weekday() * 24 + label.hour)
        for (start, label), until in zip(edges, ends, strict=True)
    ]


def _time_buckets(filters: Filters) -> _TimeBuckets:
    # In UTC: Python compares two datetimes of one zone by local time, which can occur twice.
    return _compute(filters.start.astimezone(UTC), filters.end.astimezone(UTC), filters.timezone, filters.bucket)


@lru_cache(maxsize=64)
def _compute(start: datetime, end: datetime, timezone: str, bucket: Bucket) -> _TimeBuckets:
    """`start` and `end` are in UTC."""
    if bucket == "minute" or bucket == "hour":
        edges = list(_clock_edges(start, end, timezone, bucket))
        # After a clock change, the last label can be earlier than a label in the middle of the range.
        times = [label for _, label in edges]
        labels = pd.date_range(min(times), max(times), freq={"minute": "min", "hour": "h"}[bucket])
    else:
        labels = _date_labels(start, end, timezone, bucket)
        edges = list(_date_edges(labels, start, end, timezone))
    return _TimeBuckets(labels, _segments(edges, end, labels))


def _segments(edges: list[tuple[datetime, datetime]], end: datetime, labels: pd.DatetimeIndex) -> tuple[Segment, ...]:
    positions = {label.to_pydatetime(): position for position, label in enumerate(labels)}
    segments: list[Segment] = []
    for (start, label), (until, _) in zip(edges, [*edges[1:], (end, end)], strict=True):
        if start >= until:
            continue  # a local day that the time zone skipped
        step = positions[label]
        if segments and segments[-1].step == step:
            segments[-1] = Segment(segments[-1].start_us, epoch_us(until), step)
        else:
            segments.append(Segment(epoch_us(start), epoch_us(until), step))
    return tuple(segments)


def _date_labels(start: datetime, end: datetime, timezone: str, bucket: Bucket) -> pd.DatetimeIndex:
    zone = ZoneInfo(timezone)
    first = pd.Timestamp(start.astimezone(zone).replace(tzinfo=None)).normalize()
    last = pd.Timestamp(max(start, end - timedelta(microseconds=1)).astimezone(zone).replace(tzinfo=None))
    if bucket == "day":
        return pd.date_range(first, last, freq="D")
    if bucket == "week":
        return pd.date_range(first - pd.Timedelta(days=first.weekday()), last, freq="W-MON")
    return pd.date_range(first.replace(day=1), last, freq="MS")


def _date_edges(
    labels: pd.DatetimeIndex, start: datetime, end: datetime, timezone: str
) -> Iterator[tuple[datetime, datetime]]:
    zone = ZoneInfo(timezone)
    yield start, labels[0].to_pydatetime()
    for timestamp in labels[1:]:
        # If local midnight occurs twice, the first occurrence counts; if it is skipped, the time of the clock change.
        label = timestamp.to_pydatetime()
        edge = label.replace(tzinfo=zone).astimezone(UTC)
        if start < edge < end:
            yield edge, label


@lru_cache(maxsize=64)
def _clock_edges(
    start: datetime, end: datetime, timezone: str, bucket: Literal["minute", "hour"]
) -> tuple[tuple[datetime, datetime], ...]:
    """The start (UTC) and label of each local minute or hour, in order of time. A repeated local hour occurs twice.

    A range without length has the minute or hour that contains it.
    """
    zone = ZoneInfo(timezone)
    time = start
    edges: list[tuple[datetime, datetime]] = []
    while time < end or not edges:
        local = time.astimezone(zone)
        label = local.replace(
            minute=local.minute if bucket == "minute" else 0, second=0, microsecond=0, tzinfo=None, fold=0
        )
        if not edges or label != edges[-1][1]:
            edges.append((time, label))
        following = _next_boundary(time, local, _SCAN_STEP_S[bucket])
        # Most clock changes are at a multiple of 15 minutes, some at one minute past midnight.
        has_clock_change = following.astimezone(zone).utcoffset() != local.utcoffset()
        time = _next_boundary(time, local, 60) if has_clock_change else following
    return tuple(edges)


def _next_boundary(time: datetime, local: datetime, step_s: int) -> datetime:
    """The next multiple of `step_s`, or of its common divisor with the UTC offset.

    Before standard time, offsets included seconds, such as -0:16:08 in Abidjan until 1912: local minutes and hours
    begin at odd seconds of UTC.
    """
    step = gcd(step_s, int((local.utcoffset() or timedelta()).total_seconds()))
    second = time.replace(microsecond=0)  # before 1970, int() of a fraction rounds up
    return second + timedelta(seconds=step - int(second.timestamp()) % step)
