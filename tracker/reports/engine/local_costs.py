"""Costs in the currency of the filters: each local day at its rate, before it is added up."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterable, Sequence
from decimal import Decimal
from typing import Any

import pandas as pd

from tracker.prices.currency_rates import Rates
from tracker.reports.filters import Filters, rate_starts
from tracker.rollups.range_plan import Segment

Load = Callable[[Sequence[Segment], Sequence[str]], pd.DataFrame]
"""The sums of segments, grouped by columns; `step` is that of the segments."""
_SPLIT_KEYS = ("step", "provider", "model", "operation", "environment", "value")


def with_local_costs(filters: Filters, segments: Sequence[Segment], by: Sequence[str], load: Load) -> pd.DataFrame:
    """The result of `load` with the column `cost_local`: the cost in the currency of the filters."""
    parts = split_at_rates(segments, filters)
    numbers = {number for _, number in parts}
    if len(numbers) < 2:
        frame = load(segments, by)
        rate = _rate(filters.rates, next(iter(numbers), 0))
        return frame.assign(cost_local=_column(frame, (times(cost, rate) for cost in frame["cost_usd"])))
    count = len(filters.rates)
    numbered = [Segment(part.start_us, part.until_us, part.step * count + number) for part, number in parts]
    frame = load(numbered, tuple(dict.fromkeys(("step", *by))))
    steps = frame["step"].astype(int)
    rates = [_rate(filters.rates, number) for number in steps % count]
    costs = [times(cost, rate) for cost, rate in zip(frame["cost_usd"], rates, strict=True)]
    frame = frame.assign(step=steps // count if "step" in by else None, cost_local=_column(frame, costs))
    return _merge(frame)


def split_at_rates(segments: Sequence[Segment], filters: Filters) -> list[tuple[Segment, int]]:
    """The segments, divided where the rate changes, each with the number of its rate."""
    starts = rate_starts(filters.rates, filters.timezone)
    parts: list[tuple[Segment, int]] = []
    for segment in segments:
        low = segment.start_us
        number = bisect_right(starts, low)
        while number < len(starts) and starts[number] < segment.until_us:
            parts.append((Segment(low, starts[number], segment.step), number))
            low = starts[number]
            number = bisect_right(starts, low)
        parts.append((Segment(low, segment.until_us, segment.step), number))
    return parts


def times(cost: Any, rate: Decimal) -> Any:
    """A cost in another currency; None if it is unknown."""
    if cost is None or cost != cost:  # NaN
        return None
    return cost * rate if isinstance(cost, Decimal) else float(cost) * float(rate)


def _rate(rates: Rates, number: int) -> Decimal:
    return rates[number][1] if rates else Decimal(1)


def _column(frame: pd.DataFrame, values: Iterable[Any]) -> pd.Series[Any]:
    return pd.Series(list(values), index=frame.index, dtype=object)


def _merge(frame: pd.DataFrame) -> pd.DataFrame:
    """The rows of all rates of a group added up, in the order of the queries: by step, then by tokens."""
    names = list(frame.columns)
    keys = [name for name in names if name in _SPLIT_KEYS]
    sums = [names.index(name) for name in names if name not in keys]
    positions = [names.index(name) for name in keys]
    merged: dict[tuple[Any, ...], list[Any]] = {}
    for row in frame.itertuples(index=False, name=None):
        # NULL can be None or NaN, which is not equal to itself.
        key = tuple(None if row[position] != row[position] else row[position] for position in positions)
        total = merged.setdefault(key, [None] * len(names))
        for position in positions:
            total[position] = row[position]
        for position in sums:
            value = row[position]
            if value is not None and value == value:
                total[position] = value if total[position] is None else total[position] + value
    result = pd.DataFrame(list(merged.values()), columns=names)
    return result.sort_values(["step", "total_tokens"], ascending=[True, False], ignore_index=True, kind="stable")
