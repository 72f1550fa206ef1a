"""How long did the AI calls take?"""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from tracker.reports.engine.query_rollups import figures
from tracker.reports.engine.reader import Reader
from tracker.reports.filters import Filters
from tracker.reports.percentiles import with_percentiles


def by_model(reader: Reader, filters: Filters) -> pd.DataFrame:
    """calls, latency_p50_ms, latency_p95_ms, latency_p99_ms, max_ms of each model, most calls first."""
    return _answer(reader, filters, ("model",))


def over_time(reader: Reader, filters: Filters) -> pd.DataFrame:
    """The same by bucket of the reader's wall clock, all models together."""
    return _answer(reader, filters, ("step",))


def overall(reader: Reader, filters: Filters) -> pd.DataFrame:
    """The same in one row; without calls there is none."""
    return _answer(reader, filters, ())


def _answer(reader: Reader, filters: Filters, by: Sequence[str]) -> pd.DataFrame:
    answer = figures(reader, "latency", filters, by=by)
    shown = with_percentiles(reader, filters, answer, by, question="latency_exact", key="model", name="latency")
    columns = ["calls", "latency_p50_ms", "latency_p95_ms", "latency_p99_ms", "max_ms"]
    return shown[[*(column for column in ("bucket", "model") if column.replace("bucket", "step") in by), *columns]]
