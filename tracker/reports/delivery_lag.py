"""The lag between the end of calls and the insert of their records, and connection times of cold and warm processes."""

from __future__ import annotations

import pandas as pd

from tracker.errors import SetupError
from tracker.reports.engine.query_rollups import query_frame
from tracker.reports.engine.reader import Reader
from tracker.reports.filters import Filters

LAG_COLUMNS = ("within_10_s", "within_1_min", "within_10_min", "within_1_h", "later")
"""The columns of `lag_by_environment` that count records by lag. A lag of up to a second is in none of them."""


def lag_by_environment(reader: Reader, filters: Filters) -> pd.DataFrame:
    """Lag (s), cold and warm connection time (ms), and records by lag and delivery, by environment.

    Reads the newest 20,000 records.
    """
    return query_frame(reader, "delivery_lag", filters.parameters())


def alerts(reader: Reader, filters: Filters) -> pd.DataFrame | None:
    """The newest 50 recording alerts of the range; None if the current role can't read them."""
    try:
        return query_frame(reader, "alerts", {"start": filters.start, "end": filters.end})
    except SetupError:
        return None
