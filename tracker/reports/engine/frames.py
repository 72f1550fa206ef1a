"""Answers as pandas frames."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

import pandas as pd

from tracker.reports.filters import Bucket, Filters
from tracker.reports.wall_clock import clock_edges

if TYPE_CHECKING:
    from tracker.reports.engine.reader import Reader


def frame(reader: Reader, question: str, parameters: Mapping[str, object]) -> pd.DataFrame:
    """A question's answer; its columns are there when it has no rows, too."""
    columns, rows = reader.answer(question, parameters)
    return pd.DataFrame(rows, columns=list(columns))


def every_bucket(filters: Filters) -> pd.DatetimeIndex:
    """All buckets of the range as the reader's wall clock, so that a quiet hour is a zero and not a gap."""
    # Of UTC, since two times of one zone are equal to Python when its clock shows the same twice.
    return _every_bucket(filters.start.astimezone(UTC), filters.end.astimezone(UTC), filters.timezone, filters.bucket)


@lru_cache(maxsize=64)
def _every_bucket(start: datetime, end: datetime, timezone: str, bucket: Bucket) -> pd.DatetimeIndex:
    if bucket in {"minute", "hour"}:
        # A clock that was set back may show less at the end of a range than in its middle.
        labels = [label for _, label in clock_edges(start, end, timezone, bucket)]
        return pd.date_range(min(labels), max(labels), freq={"minute": "min", "hour": "h"}[bucket])
    zone = ZoneInfo(timezone)
    first = pd.Timestamp(start.astimezone(zone).replace(tzinfo=None)).normalize()
    last = pd.Timestamp(max(start, end - timedelta(microseconds=1)).astimezone(zone).replace(tzinfo=None))
    if bucket == "day":
        return pd.date_range(first, last, freq="D")
    if bucket == "week":
        return pd.date_range(first - pd.Timedelta(days=first.weekday()), last, freq="W-MON")
    return pd.date_range(first.replace(day=1), last, freq="MS")
