"""Percentiles: exact for a few thousand calls, from a histogram for more.

The histogram has 8 bins per octave, in the rollups and in queries of the rows. A percentile from it differs by at most
9 % from the exact value, by half of that on average, and is the same for rollups and rows.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import pandas as pd

from tracker.reports.engine.query_rollups import query_rows
from tracker.reports.engine.reader import Reader
from tracker.reports.filters import Filters

BINS_PER_OCTAVE = 8
MAX_EXACT_CALLS = 10_000
"""Up to this number of calls the rows are sorted, which takes tens of milliseconds."""
PERCENTS = (50, 95, 99)


def with_percentiles(
    reader: Reader,
    filters: Filters,
    frame: pd.DataFrame,
    by: Sequence[str],
    *,
    query: str,
    key: str,
    name: str,
) -> pd.DataFrame:
    """The frame with `name`_p50_ms, _p95_ms and _p99_ms instead of its histograms (`slots`, `counts`).

    `query` computes exact percentiles by `key` (a column) and time bucket.
    """
    columns = [f"{name}_p{percent}_ms" for percent in PERCENTS]
    if _can_be_exact(reader, filters, frame):
        values = _exact_percentiles(reader, filters, frame, by, query, key)
    else:
        maxima = frame["connection_max_ms" if name == "connection" else "max_ms"]
        rows = zip(frame["slots"], frame["counts"], maxima, strict=True)
        values = [[percentile(bins, counts, p / 100, max_ms) for p in PERCENTS] for bins, counts, max_ms in rows]
    percentiles = pd.DataFrame(values, index=frame.index, columns=columns, dtype=float)
    return pd.concat([frame.drop(columns=["slots", "counts"]), percentiles], axis=1)


def _can_be_exact(reader: Reader, filters: Filters, frame: pd.DataFrame) -> bool:
    """Whether there are few calls, and none of them is pruned."""
    if sum(sum(counts) for counts in frame["counts"] if counts is not None) > MAX_EXACT_CALLS:
        return False
    state = reader.rollup_state()
    return state is None or state.pruned_until is None or filters.start.timestamp() >= state.pruned_until


def _exact_percentiles(
    reader: Reader, filters: Filters, frame: pd.DataFrame, by: Sequence[str], query: str, key: str
) -> list[list[float | None]]:
    exact = query_rows(reader, query, filters, by)
    columns = [column for column in ("bucket", key) if column in frame and column in exact]
    by_key = {_key(row, columns): row["percentiles"] for row in exact.to_dict("records")}
    missing: list[float | None] = [None] * len(PERCENTS)
    return [list(by_key.get(_key(row, columns)) or missing) for row in frame.to_dict("records")]


def _key(row: Mapping[Hashable, Any], columns: Sequence[str]) -> tuple[object, ...]:
    """The values of the columns, with None for each kind of missing value."""
    return tuple(None if pd.isna(value := row[column]) else value for column in columns)


def percentile(bins: Sequence[int] | None, counts: Sequence[int] | None, share: float, max_ms: float) -> float | None:
    """The time (ms) that this share of the calls does not exceed. Calls are spread evenly in a bin, on a log scale.

    >>> round(percentile([80, 88], [1, 1], 0.5, 3000.0))  # one call of about a second, one of about two
    1117
    """
    if not bins or not counts:
        return None
    target, passed = share * sum(counts), 0
    for bin_, count in zip(bins, counts, strict=True):
        if passed + count >= target:
            value = 2.0 ** ((bin_ + (target - passed) / count) / BINS_PER_OCTAVE)
            return float(value if pd.isna(max_ms) else min(value, max_ms))
        passed += count
    return max_ms
