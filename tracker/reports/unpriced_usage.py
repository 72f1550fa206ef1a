"""The calls of a range that have no cost or inconsistent usage, by reason."""

from __future__ import annotations

import pandas as pd

from tracker.reports.engine.query_rollups import query_rollups
from tracker.reports.engine.reader import Reader
from tracker.reports.filters import Filters

_TEXT_COLUMNS = ["provider", "model", "usage_problem", "usage_source", "reason"]


def unpriced_calls(reader: Reader, filters: Filters) -> pd.DataFrame:
    """calls, unpriced_calls and unpriced_tokens by provider, model, usage_problem, usage_source and reason.

    `usage_problem` is None for consistent usage; `reason` is None if no price lookup ran for the call yet.
    """
    frame = query_rollups(reader, "unpriced", filters)
    texts = frame[_TEXT_COLUMNS].astype(object)
    # pandas reads NULL as None, NaN or NaT, depending on the column.
    return frame.assign(**{name: texts[name].where(texts[name].notna(), None) for name in _TEXT_COLUMNS})
