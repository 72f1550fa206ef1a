"""The time buckets of a range in the reader's time zone: their labels and their segments of the range.

A label is a naive datetime: the local time at which the bucket begins.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

import pandas as pd

from tracker.reports.explorer.local_clock import Interval, clock_edges
from tracker.reports.filters import Bucket, Filters
from tracker.rollups.range_plan import Segment, epoch_us

_Edges = list[tuple[int, datetime]]
"""The start of each bucket, in microseconds of the epoch, and its label."""


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
    edges = [*clock_edges(filters.start.astimezone(UTC), end, filters.timezone, "hour")]
    ends = [*(start_us for start_us, _ in edges[1:]), epoch_us(end)]
    return [
        Segment(start_us, until_us, label.weekday() * 24 + label.hour)
        for (start_us, label), until_us in zip(edges, ends, strict=True)
    ]


def day_edges(start: datetime, end: datetime, timezone: str) -> list[tuple[int, datetime]]:
    """The start (microseconds of the epoch) and the label of each local day of a range in UTC."""
    return list(_date_edges(_date_labels(start, end, timezone, "day"), start, end, timezone))


def within_intervals(segments: Sequence[Segment], intervals: Sequence[Interval] | None) -> Sequence[Segment]:
    """The parts of the segments within the intervals; both are in order of time. None: all of the segments."""
    if intervals is None:
        return segments
    parts: list[Segment] = []
    position = 0
    for segment in segments:
        while position < len(intervals) and intervals[position][1] <= segment.start_us:
            position += 1
        number = position
        while number < len(intervals) and intervals[number][0] < segment.until_us:
            start_us, until_us = intervals[number]
            parts.append(Segment(max(start_us, segment.start_us), min(until_us, segment.until_us), segment.step))
            number += 1
    return parts


def _time_buckets(filters: Filters) -> _TimeBuckets:
    # In UTC: Python compares two datetimes of one zone by local time, which can occur twice.
    return _compute(filters.start.astimezone(UTC), filters.end.astimezone(UTC), filters.timezone, filters.bucket)


@lru_cache(maxsize=64)
def _compute(start: datetime, end: datetime, timezone: str, bucket: Bucket) -> _TimeBuckets:
    """`start` and `end` are in UTC."""
    if bucket == "minute" or bucket == "hour":
        edges = list(clock_edges(start, end, timezone, bucket))
        # After a clock change, the last label can be earlier than a label in the middle of the range.
        times = [label for _, label in edges]
        labels = pd.date_range(min(times), max(times), freq={"minute": "min", "hour": "h"}[bucket])
    else:
        labels = _date_labels(start, end, timezone, bucket)
        edges = list(_date_edges(labels, start, end, timezone))
    return _TimeBuckets(labels, _segments(edges, epoch_us(end), labels))


def _segments(edges: _Edges, end_us: int, labels: pd.DatetimeIndex) -> tuple[Segment, ...]:
    positions = {label.to_pydatetime(): position for position, label in enumerate(labels)}
    segments: list[Segment] = []
    ends = [*(start_us for start_us, _ in edges[1:]), end_us]
    for (start_us, label), until_us in zip(edges, ends, strict=True):
        if start_us >= until_us:
            continue  # a local day that the time zone skipped
        step = positions[label]
        if segments and segments[-1].step == step:
            segments[-1] = Segment(segments[-1].start_us, until_us, step)
        else:
            segments.append(Segment(start_us, until_us, step))
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
) -> Iterator[tuple[int, datetime]]:
    zone = ZoneInfo(timezone)
    yield epoch_us(start), labels[0].to_pydatetime()
    for timestamp in labels[1:]:
        # If local midnight occurs twice, the first occurrence counts; if it is skipped, the time of the clock change.
        label = timestamp.to_pydatetime()
        edge = label.replace(tzinfo=zone).astimezone(UTC)
        if start < edge < end:
            yield epoch_us(edge), label
