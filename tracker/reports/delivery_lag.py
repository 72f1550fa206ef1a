"""How late did records arrive, and what did a cold start cost?"""

from __future__ import annotations

import pandas as pd

from tracker.errors import SetupError
from tracker.reports.engine.frames import frame
from tracker.reports.engine.reader import Reader
from tracker.reports.filters import Filters

LATER = ("within_10_s", "within_1_min", "within_10_min", "within_1_h", "later")
"""How late a record was, by column of `arrivals`; what isn't counted there arrived within a second."""


def arrivals(reader: Reader, filters: Filters) -> pd.DataFrame:
    """The newest 20,000 records by environment: lag (s), connection time cold and warm (ms), how late, which way."""
    return frame(reader, "arrivals", filters.parameters())


def alerts(reader: Reader, filters: Filters) -> pd.DataFrame | None:
    """The range's newest 50 alerts about recording; None where this role may not see them."""
    try:
        return frame(reader, "alerts", {"start": filters.start, "end": filters.end})
    except SetupError:
        return None
