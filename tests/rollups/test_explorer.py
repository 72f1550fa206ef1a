"""Each measure of the Explorer equals the same measure computed from the rows, at each level and rollup state."""

from __future__ import annotations

import math
from collections import defaultdict
from datetime import timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import assume, given, settings
from rollups_support import Store
from test_same_answer import cases, matching, priced, run_step

from tracker.reports import Filters
from tracker.reports.explorer.explorer_measures import MEASURES, measure_by, measure_total
from tracker.reports.explorer.explorer_query import explore, matching_calls

EXPLORED = [("model", "day"), ("hour_of_day", "weekday"), ("operation", "month"), ("user", "week"), ("hour", None)]


def check_explorer(store: Store, rows: list[dict[str, Any]], filters: Filters) -> None:
    """Compare all measures of the Explorer with the rows, at each level."""
    rows = matching(rows, filters)
    for dimensions in EXPLORED:
        cells = explore(store.reader, filters, *dimensions, latency=True)
        by_value = defaultdict(list)
        for row in rows:
            by_value[tuple(dimension_value(row, name, filters) for name in dimensions)].append(row)
        for measure in MEASURES:
            found = measure_by(cells, measure, ["row_name", "column_name"]).dropna().to_dict()
            expected = {key: measured(members, measure) for key, members in by_value.items()}
            assert found == pytest.approx({key: value for key, value in expected.items() if value is not None})
            assert measure_total(cells, measure) == pytest.approx(measured(rows, measure))
        for key, members in list(by_value.items())[:2]:
            chosen = {name: value for name, value in zip(dimensions, key, strict=True) if name}
            assert len(matching_calls(store.reader, filters, chosen)) == len(members)


def dimension_value(row: dict[str, Any], dimension: str | None, filters: Filters) -> str:
    local = row["created_at"].astimezone(ZoneInfo(filters.timezone))
    monday = local.date() - timedelta(days=local.weekday())
    values = {
        None: "",
        "model": row["model"],
        "operation": row["operation"],
        "user": row["user_id"],
        "hour": f"{local:%Y-%m-%dT%H}",
        "day": f"{local:%Y-%m-%d}",
        "week": f"{monday:%Y-%m-%d}",
        "month": f"{local:%Y-%m}",
        "weekday": str(local.weekday()),
        "hour_of_day": str(local.hour),
    }
    return str(values[dimension])


def measured(rows: list[dict[str, Any]], measure: str) -> float | None:
    """A measure of the Explorer, computed from the rows."""
    cost = priced(rows)
    if measure == "latency_p95_ms":
        return percentile_from_histogram([row["processing_time"] for row in rows if row["processing_time"] is not None])
    if measure == "cost_per_call_usd":
        return None if cost is None else float(cost) / sum(row["cost"] is not None for row in rows)
    if measure == "cost_usd":
        return None if cost is None else float(cost)
    if not rows:
        return None
    sums = {
        "calls": len(rows),
        "failed_calls": sum(not row["success"] for row in rows),
        "total_tokens": sum(row["total_tokens"] for row in rows),
        "input_tokens": sum(row["input_tokens"] for row in rows),
        "output_tokens": 20 * len(rows),
        "cache_read_input_tokens": sum(row["cache_read_input_tokens"] for row in rows),
        "reasoning_output_tokens": 0,
    }
    if measure == "error_rate":
        return sums["failed_calls"] / sums["calls"]
    if measure == "cached_share":
        return sums["cache_read_input_tokens"] / sums["input_tokens"] if sums["input_tokens"] else None
    return sums[measure]


def percentile_from_histogram(times_ms: list[int]) -> float | None:
    """The 95th percentile of one histogram of all times, with 8 bins per octave."""
    if not times_ms:
        return None
    bins = sorted(math.floor(8 * math.log2(max(time, 0.001))) for time in times_ms)
    target = 0.95 * len(bins)
    bin_ = bins[math.ceil(target - 1e-9) - 1]
    passed, count = sum(other < bin_ for other in bins), bins.count(bin_)
    return min(2 ** ((bin_ + (target - passed) / count) / 8), max(times_ms))


@pytest.mark.usefixtures("alone")
@settings(max_examples=8)
@given(case=cases())
def test_measures_equal_the_rows_in_any_state_of_the_rollups(store: Store, case: dict[str, Any]) -> None:
    assume(case["filters"].end - case["filters"].start < timedelta(days=150))
    store.empty()
    for calls, step in zip(case["rounds"], case["steps"], strict=True):
        store.add(calls)
        run_step(store, step)
    check_explorer(store, [call for calls in case["rounds"] for call in calls], case["filters"])
