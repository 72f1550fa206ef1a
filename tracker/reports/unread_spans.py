"""Reports what exporters sent over OTLP and Token Tracker did not read."""

from __future__ import annotations

import pandas as pd

from tracker.errors import SetupError
from tracker.reports.engine.frames import frame
from tracker.reports.engine.reader import Reader


def unread(reader: Reader) -> pd.DataFrame | None:
    """The newest 50 scopes and signals with their counts since the first one; None if this role may not see them."""
    try:
        return frame(reader, "unread", {})
    except SetupError:
        return None
