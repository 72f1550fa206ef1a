"""At which hours of which weekdays are calls made?"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, time, timedelta
from zoneinfo import ZoneInfo

import pandas as pd

from tracker.reports.ask import figures
from tracker.reports.engine import Reader
from tracker.reports.filters import Filters

WEEKS = 13
"""The newest weeks of the range that count: a rhythm is of now, not of years ago."""
_PIECE = timedelta(days=3)  # short enough to be told apart by hours


def by_hour_and_weekday(reader: Reader, filters: Filters) -> pd.DataFrame:
    """calls and total_tokens for all 168 pairs of weekday (0 is Monday) and hour of the reader's clock."""
    parts = []
    start = max(filters.start, filters.end - timedelta(weeks=WEEKS))
    while start < filters.end:
        end = min(_midnight_after(start + _PIECE - timedelta(days=1), filters.timezone), filters.end)
        parts.append(figures(reader, "usage", replace(filters, start=start, end=end), by=("step",)))
        start = end
    found = pd.concat([part for part in parts if len(part)] or parts)
    if not len(found):
        found = found.assign(bucket=pd.to_datetime([]))
    grouped = found.groupby([found["bucket"].dt.day_of_week, found["bucket"].dt.hour])[["calls", "total_tokens"]].sum()
    every = pd.MultiIndex.from_product([range(7), range(24)], names=["weekday", "hour"])
    return grouped.rename_axis(["weekday", "hour"]).reindex(every).fillna(0).astype("int64").reset_index()


def _midnight_after(moment: datetime, timezone: str) -> datetime:
    zone = ZoneInfo(timezone)
    return datetime.combine(moment.astimezone(zone).date() + timedelta(days=1), time(), zone)
