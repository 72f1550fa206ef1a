"""Which calls of a range have no cost or inconsistent usage, and why?"""

from __future__ import annotations

import pandas as pd

from tracker.reports.engine.query_rollups import figures
from tracker.reports.engine.reader import Reader
from tracker.reports.filters import Filters

_TEXTS = ["provider", "model", "usage_problem", "usage_source", "reason"]


def unpriced_calls(reader: Reader, filters: Filters) -> pd.DataFrame:
    """calls, unpriced_calls and unpriced_tokens by provider, model, usage_problem, usage_source and reason.

    `usage_problem` is None for consistent usage, `reason` None if no price list was asked for the call yet.
    """
    answer = figures(reader, "unpriced", filters)
    texts = answer[_TEXTS].astype(object)
    # pandas reads a column of NULLs in more than one way.
    return answer.assign(**{name: texts[name].where(texts[name].notna(), None) for name in _TEXTS})
