"""The spans, metrics and logs that exporters sent over OTLP and that Token Tracker did not use."""

from __future__ import annotations

import pandas as pd

from tracker.errors import SetupError
from tracker.reports.engine.query_rollups import query_frame
from tracker.reports.engine.reader import Reader


def unread(reader: Reader) -> pd.DataFrame | None:
    """The newest 50 pairs of signal and scope with their counts; None if the current role can't read them."""
    try:
        return query_frame(reader, "unread", {})
    except SetupError:
        return None
