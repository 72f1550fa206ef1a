"""Answers as pandas frames."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd

from tracker.reports.engine import Reader
from tracker.reports.filters import Filters


def frame(reader: Reader, question: str, parameters: Mapping[str, object]) -> pd.DataFrame:
    """A question's answer; its columns are there when it has no rows, too."""
    columns, rows = reader.answer(question, parameters)
    return pd.DataFrame(rows, columns=list(columns))


def with_local_time(answer: pd.DataFrame, column: str, timezone: str) -> pd.DataFrame:
    """The frame with `column` as the reader's wall clock (without a zone, as charts draw it)."""
    local = pd.to_datetime(answer[column], utc=True).dt.tz_convert(timezone).dt.tz_localize(None)
    return answer.assign(**{column: local})


def every_bucket(filters: Filters) -> pd.DatetimeIndex:
    """All buckets of the range as the reader's wall clock, so that a quiet hour is a zero and not a gap."""
    rules = {"minute": "min", "hour": "h", "day": "D", "week": "W-MON", "month": "MS"}
    start = pd.Timestamp(filters.start).tz_convert(filters.timezone).tz_localize(None)
    end = pd.Timestamp(filters.end).tz_convert(filters.timezone).tz_localize(None)
    floor = {
        "minute": start.floor("min"),
        "hour": start.floor("h"),
        "day": start.normalize(),
        "week": start.normalize() - pd.Timedelta(days=start.weekday()),
        "month": start.normalize().replace(day=1),
    }[filters.bucket]
    index = pd.date_range(floor, end, freq=rules[filters.bucket])
    return index[index < end] if len(index) > 1 else index
