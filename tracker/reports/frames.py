"""Answers as pandas frames."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import pandas as pd

from tracker.reports.filters import Filters

if TYPE_CHECKING:
    from tracker.reports.engine import Reader


def frame(reader: Reader, question: str, parameters: Mapping[str, object]) -> pd.DataFrame:
    """A question's answer; its columns are there when it has no rows, too."""
    columns, rows = reader.answer(question, parameters)
    return pd.DataFrame(rows, columns=list(columns))


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
