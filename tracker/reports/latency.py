"""Duration percentiles of the AI calls."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from tracker.reports.engine.query_rollups import query_rollups
from tracker.reports.engine.reader import Reader
from tracker.reports.filters import Filters
from tracker.reports.percentiles import with_percentiles


def by_model(reader: Reader, filters: Filters) -> pd.DataFrame:
    """calls, latency_p50_ms, latency_p95_ms, latency_p99_ms, max_ms of each model, most calls first."""
    return _latency(reader, filters, ("model",))


def over_time(reader: Reader, filters: Filters) -> pd.DataFrame:
    """The columns of `by_model` by time bucket, for all models together."""
    return _latency(reader, filters, ("step",))


def overall(reader: Reader, filters: Filters) -> pd.DataFrame:
    """The columns of `by_model` in one row for all calls; no row without calls."""
    return _latency(reader, filters, ())


def _latency(reader: Reader, filters: Filters, by: Sequence[str]) -> pd.DataFrame:
    frame = query_rollups(reader, "latency", filters, by=by)
    frame = with_percentiles(reader, filters, frame, by, query="latency_exact", key="model", name="latency")
    columns = ["calls", "latency_p50_ms", "latency_p95_ms", "latency_p99_ms", "max_ms"]
    return frame[[*(column for column in ("bucket", "model") if column.replace("bucket", "step") in by), *columns]]
