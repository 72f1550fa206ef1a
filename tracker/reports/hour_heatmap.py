"""At which hours of which weekdays are calls made?"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC, timedelta

import pandas as pd

from tracker.reports.engine.query_rollups import step_figures
from tracker.reports.engine.reader import Reader
from tracker.reports.filters import Filters
from tracker.reports.wall_clock import clock_edges
from tracker.rollups.range_plan import Segment, microseconds

WEEKS = 13
"""The newest weeks of the range that count: a rhythm is of now, not of years ago."""


def by_hour_and_weekday(reader: Reader, filters: Filters) -> pd.DataFrame:
    """calls and total_tokens for all 168 pairs of weekday (0 is Monday) and hour of the reader's clock."""
    newest = replace(filters, start=max(filters.start, filters.end - timedelta(weeks=WEEKS)))
    found = step_figures(reader, "usage", newest, list(_hours_of_the_week(newest)))
    by_step = found.set_index("step")[["calls", "total_tokens"]].reindex(range(168)).fillna(0).astype("int64")
    every = pd.MultiIndex.from_product([range(7), range(24)], names=["weekday", "hour"])
    return by_step.set_axis(every).reset_index()


def _hours_of_the_week(filters: Filters) -> Iterator[Segment]:
    """The range's hours, the same step for the same hour of the week."""
    start, end = filters.start.astimezone(UTC), filters.end.astimezone(UTC)
    edges = clock_edges(start, end, filters.timezone, "hour")
    untils: Sequence[int] = [microseconds(moment) for moment, _ in edges[1:]] + [microseconds(end)]
    for (moment, wall), until in zip(edges, untils, strict=True):
        yield Segment(microseconds(moment), until, wall.weekday() * 24 + wall.hour)
