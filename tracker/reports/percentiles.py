"""Percentiles: exact for a few thousand calls, from a histogram for more.

The histogram has 8 slots an octave, in the rollups and made of the rows alike: what comes out is at most 9 % away from
the call that stands at that place, half of that on average, and the same whichever way it was read.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import pandas as pd

from tracker.reports.engine.query_rollups import rows_figures
from tracker.reports.engine.reader import Reader
from tracker.reports.filters import Filters

SLOTS_AN_OCTAVE = 8
EXACT_CALLS = 10_000
"""Up to so many calls are read and sorted one by one, which takes some ten milliseconds."""
PERCENTS = (50, 95, 99)


def with_percentiles(
    reader: Reader,
    filters: Filters,
    answer: pd.DataFrame,
    by: Sequence[str],
    *,
    question: str,
    key: str,
    name: str,
) -> pd.DataFrame:
    """The frame with `name`_p50_ms, _p95_ms and _p99_ms in place of its histograms (`slots`, `counts`)."""
    columns = [f"{name}_p{percent}_ms" for percent in PERCENTS]
    maximum = "connection_max_ms" if name == "connection" else "max_ms"
    if _few(reader, filters, answer):
        values = _exact(reader, filters, answer, by, question, key)
    else:
        rows = zip(answer["slots"], answer["counts"], answer[maximum], strict=True)
        values = [[percentile(slots, counts, p / 100, most) for p in PERCENTS] for slots, counts, most in rows]
    added = pd.DataFrame(values, index=answer.index, columns=columns, dtype=float)
    return pd.concat([answer.drop(columns=["slots", "counts"]), added], axis=1)


def _few(reader: Reader, filters: Filters, answer: pd.DataFrame) -> bool:
    """Whether the single calls are worth reading, and all still there."""
    if sum(sum(counts) for counts in answer["counts"] if counts is not None) > EXACT_CALLS:
        return False
    state = reader.rollups()
    return state is None or state.pruned_until is None or filters.start.timestamp() >= state.pruned_until


def _exact(
    reader: Reader, filters: Filters, answer: pd.DataFrame, by: Sequence[str], question: str, key: str
) -> list[list[float | None]]:
    found = rows_figures(reader, question, filters, by)
    places = [column for column in ("bucket", key) if column in answer and column in found]
    known = {_place(row, places): row["percentiles"] for row in found.to_dict("records")}
    nothing: list[float | None] = [None] * len(PERCENTS)
    return [list(known.get(_place(row, places)) or nothing) for row in answer.to_dict("records")]


def _place(row: Mapping[Hashable, Any], columns: Sequence[str]) -> tuple[object, ...]:
    """What tells a row apart; a missing name is a name of its own."""
    return tuple(None if pd.isna(value := row[column]) else value for column in columns)


def percentile(slots: Sequence[int] | None, counts: Sequence[int] | None, share: float, most: float) -> float | None:
    """Below which time (ms) lies this share of the calls? Within a slot they count as evenly spread on a log scale.

    >>> round(percentile([80, 88], [1, 1], 0.5, 3000.0))  # one call of about a second, one of about two
    1117
    """
    if not slots or not counts:
        return None
    target, passed = share * sum(counts), 0
    for slot, count in zip(slots, counts, strict=True):
        if passed + count >= target:
            value = 2.0 ** ((slot + (target - passed) / count) / SLOTS_AN_OCTAVE)
            return float(value if pd.isna(most) else min(value, most))
        passed += count
    return most
