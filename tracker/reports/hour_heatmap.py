"""Calls and tokens by weekday and hour of the day."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pandas as pd

from tracker.reports.engine.query_rollups import query_rollups_by_segment
from tracker.reports.engine.reader import Reader
from tracker.reports.filters import Filters
from tracker.reports.time_buckets import hour_of_week_segments

WEEKS = 13
"""The number of weeks at the end of the range that are read."""


def by_hour_and_weekday(reader: Reader, filters: Filters) -> pd.DataFrame:
    """calls and total_tokens for all 168 pairs of weekday (0 is Monday) and hour in local time."""
    newest = replace(filters, start=max(filters.start, filters.end - timedelta(weeks=WEEKS)))
    frame = query_rollups_by_segment(reader, "usage", newest, hour_of_week_segments(newest))
    by_step = frame.set_index("step")[["calls", "total_tokens"]].reindex(range(168)).fillna(0).astype("int64")
    hours = pd.MultiIndex.from_product([range(7), range(24)], names=["weekday", "hour"])
    return by_step.set_axis(hours).reset_index()
