"""The time to the first token, and the output tokens per second, of the AI calls.

Both are read from the rows, because the rollups lack them: calls whose rows are pruned are not counted.
"""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from tracker.reports.engine.query_rollups import query_frame, query_rows
from tracker.reports.engine.reader import Reader
from tracker.reports.filters import Filters
from tracker.reports.percentiles import with_percentiles

FIRST_TOKEN_COLUMNS = ("first_token_p50_ms", "first_token_p95_ms")


def first_token(reader: Reader, filters: Filters, by: Sequence[str] = ()) -> pd.DataFrame:
    """first_token_calls, first_token_p50_ms and first_token_p95_ms by *model* or *step* (column `bucket`), or in total.

    Only calls with the time are counted; without such calls there is no row.
    """
    frame = query_rows(reader, "first_token", filters, by)
    frame = with_percentiles(reader, filters, frame, by, query="first_token_exact", key="model", name="first_token")
    keys = [name for name in ("bucket", "model") if name.replace("bucket", "step") in by]
    return frame.rename(columns={"calls": "first_token_calls"})[[*keys, "first_token_calls", *FIRST_TOKEN_COLUMNS]]


def output_speed(reader: Reader, filters: Filters) -> pd.DataFrame:
    """output_tokens, duration_ms and tokens_per_s by model: successful calls with a duration and output tokens."""
    frame = query_frame(reader, "output_speed", filters.parameters())
    return frame.assign(tokens_per_s=frame["output_tokens"] / frame["duration_ms"] * 1000)


def overall_tokens_per_s(speed: pd.DataFrame) -> float | None:
    """The output tokens per second of all models: all tokens by the sum of all durations, not a mean of ratios."""
    duration_ms = float(speed["duration_ms"].sum())
    return float(speed["output_tokens"].sum()) / duration_ms * 1000 if duration_ms else None
