"""The Explorer's measures at each level: cells, rows, columns and the total.

A ratio is the sum of its numerators by the sum of its denominators, a percentile is that of the merged histogram, so
that a total is never the sum or the mean of the values below it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import pandas as pd

from tracker.reports.percentiles import percentile

SUMS = (
    "total_tokens",
    "input_tokens",
    "output_tokens",
    "cache_read_input_tokens",
    "reasoning_output_tokens",
    "cost_usd",
    "calls",
    "failed_calls",
)
"""The measures that can be added, so that a chart can stack them."""
RATIOS = {
    "error_rate": ("failed_calls", "calls"),
    "cost_per_call_usd": ("cost_usd", "priced_calls"),
    "cached_share": ("cache_read_input_tokens", "input_tokens"),
}
LOCAL = {"cost_usd": "cost_local", "cost_per_call_usd": "cost_per_call_local"}
"""The measures in the currency of the filters, by those in US dollars."""
LATENCY = "latency_p95_ms"
_LOCAL_RATIOS = {LOCAL["cost_per_call_usd"]: (LOCAL["cost_usd"], "priced_calls")}
_LATENCY_SHARE = 0.95
MEASURES = (*SUMS, *RATIOS, LATENCY)


def measure_by(cells: pd.DataFrame, measure: str, by: Sequence[str]) -> pd.Series[float]:
    """The measure of the cells, by columns such as row_name; NaN where it is unknown."""
    if measure == LATENCY:
        groups = cells.groupby(list(by), sort=False)
        values = {key: _merged_percentile(group) for key, group in groups}
        index = groups["calls"].sum().index
        return pd.Series([values[key if isinstance(key, tuple) else (key,)] for key in index], index=index, dtype=float)
    if measure in SUMS or measure == LOCAL["cost_usd"]:
        return cells.groupby(list(by), sort=False)[measure].sum(min_count=1)
    upper, lower = _LOCAL_RATIOS.get(measure) or RATIOS[measure]
    groups = cells.assign(priced_calls=cells["calls"] - cells["unpriced_calls"]).groupby(list(by), sort=False)
    divisors = groups[lower].sum().astype(float)
    return groups[upper].sum(min_count=1).astype(float) / divisors.where(divisors > 0)


def measure_total(cells: pd.DataFrame, measure: str) -> float | None:
    """The measure of all cells together; None if it is unknown."""
    totals = measure_by(cells.assign(all=""), measure, ["all"])
    return None if totals.empty or pd.isna(totals.iloc[0]) else float(totals.iloc[0])


def _merged_percentile(cells: pd.DataFrame) -> float | None:
    merged: Counter[int] = Counter()
    for slots, counts in zip(cells["slots"], cells["counts"], strict=True):
        if isinstance(slots, list):  # otherwise no call of the cell has a duration
            for slot, count in zip(slots, counts, strict=True):
                merged[slot] += count
    slots = sorted(merged)
    return percentile(slots, [merged[slot] for slot in slots], _LATENCY_SHARE, cells["max_ms"].max())
