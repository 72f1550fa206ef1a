"""At which hours of which weekdays are calls made?"""

from __future__ import annotations

import pandas as pd

from tracker.reports.engine import Reader
from tracker.reports.filters import Filters
from tracker.reports.frames import frame


def by_hour_and_weekday(reader: Reader, filters: Filters) -> pd.DataFrame:
    """calls and total_tokens for all 168 pairs of weekday (0 is Monday) and hour of the reader's clock."""
    answer = frame(reader, "hours", {**filters.parameters(), "timezone": filters.timezone})
    every = pd.MultiIndex.from_product([range(7), range(24)], names=["weekday", "hour"])
    return answer.set_index(["weekday", "hour"]).reindex(every).fillna(0).astype(int).reset_index()
