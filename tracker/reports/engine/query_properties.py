"""Runs usage questions by an indexed property over its rollup and the rows; each answer equals that of the rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pandas as pd

from tracker.property_names import dimension_of, key_of
from tracker.reports.engine.reader import Reader
from tracker.reports.filters import Filters
from tracker.reports.time_buckets import range_segments, within_intervals
from tracker.rollups.range_plan import RangePlan, Segment, plan_range
from tracker.rollups.rollup_state import RollupState

_COLUMNS = frozenset({"model", "provider"})
_ATTEMPTS = 3


@dataclass(frozen=True, slots=True)
class _KeyState:
    """`state` limited to what the rollup of a key covers; `marks` are the buckets that it has no values for."""

    state: RollupState
    covered_from: float
    marks: Mapping[int, Sequence[int]]


def indexed_key(reader: Reader, filters: Filters, by: Sequence[str] = ()) -> str | None:
    """The indexed property whose rollup can answer a usage question; None: the rows or another rollup answer it.

    The question has one property, either filtered or in `by`, and no other columns than model, provider and `step`.
    With lists of values, a filter and a grouping by the same key differ from the filter alone.
    """
    keys = [key for key, _ in filters.properties] + [key for name in by if (key := key_of(name)) is not None]
    columns = {name for name in by if name != "step" and key_of(name) is None}
    if len(keys) != 1 or not columns <= _COLUMNS or not filters.uses_only(*_COLUMNS, dimension_of(keys[0])):
        return None
    state = reader.rollup_state()
    return keys[0] if state is not None and keys[0] in state.properties else None


def query_property(
    reader: Reader,
    filters: Filters,
    key: str,
    segments: Sequence[Segment],
    by: Sequence[str],
    max_rows: int | None = None,
) -> pd.DataFrame:
    """The usage totals by the columns in `by`, of the segments, for the key that `indexed_key` returned.

    The columns are those of the query `usage` without operation and environment; `value` is that of the
    property (NULL: it is not set), and `overlaps` is True if a call counts under several values. With
    `max_rows`, the rows with the most tokens.
    """
    parameters = {
        **filters.parameters(),
        "by": ["value" if key_of(name) is not None else name for name in by],
        "indexed_key": key,
        "indexed_value": dict(filters.properties).get(key),
        "filters_value": bool(filters.properties),
        "max_rows": max_rows,
    }
    for attempt in range(_ATTEMPTS + 1):
        key_state = _read_state(reader, filters, key)
        if attempt == _ATTEMPTS and key_state is not None:
            # The rollup changes again and again: only pruned calls are read from it.
            key_state = replace(key_state, state=replace(key_state.state, covered_from=float("inf")))
        bound = {
            **parameters,
            **_plan(segments, key_state).parameters(),
            "key_covered_from": float("inf") if key_state is None else key_state.covered_from,
        }
        columns, rows = reader.execute("property_usage", bound)
        frame = pd.DataFrame(rows, columns=list(columns))
        is_outdated = frame.pop("is_outdated").astype(bool)
        if key_state is None or not is_outdated.any():
            break
    return frame[~is_outdated].reset_index(drop=True)


def unavailable_calls(reader: Reader, filters: Filters, key: str) -> int:
    """The pruned calls of the range whose values of an indexed property are not known, so that no answer has them.

    They were pruned before the key was indexed, or in a 15-minute bucket with too many values. Without rollups: 0.
    """
    key_state = _read_state(reader, filters, key)
    if key_state is None or key_state.state.pruned_until is None:
        return 0
    if filters.start.timestamp() >= key_state.state.pruned_until:
        return 0
    segments = within_intervals(range_segments(filters), filters.selected_intervals)
    parameters = {**filters.parameters(), **_plan(segments, key_state).parameters(), "indexed_key": key}
    return int(reader.rows("property_unavailable", parameters)[0]["calls"])


def _plan(segments: Sequence[Segment], key_state: _KeyState | None) -> RangePlan:
    return plan_range(segments, None) if key_state is None else plan_range(segments, key_state.state, key_state.marks)


def _read_state(reader: Reader, filters: Filters, key: str) -> _KeyState | None:
    """What the rollup of a key covers; None if the key is not indexed any more or the rollups can't be read."""
    state = reader.rollup_state()
    rows: list[dict[str, Any]] = []
    if state is not None:
        rows = reader.rows("property_state", {**filters.parameters(), "indexed_key": key})
    if state is None or not rows:
        return None
    marks: dict[int, list[int]] = {}
    for minutes, start in rows[0]["marks"]:
        marks.setdefault(minutes, []).append(start)
    covered_from = rows[0]["covered_from"]
    return _KeyState(replace(state, covered_from=max(state.covered_from, covered_from)), covered_from, marks)
