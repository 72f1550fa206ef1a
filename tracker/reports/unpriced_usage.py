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
    # pandas reads NULL as None, NaN or NaT, depending on the column.
    texts = {name: [text if isinstance(text, str) else None for text in frame[name]] for name in _TEXT_COLUMNS}
    return frame.assign(**{name: pd.Series(values, frame.index, dtype=object) for name, values in texts.items()})
