"""Runs a query over rollups and rows: rollups where they are up to date, rows for the rest of the range."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from tracker.property_names import key_of
from tracker.reports.engine.reader import Reader
from tracker.reports.filters import Filters
from tracker.reports.time_buckets import bucket_labels, bucket_segments, range_segments, within_intervals
from tracker.rollups import user_range_plan
from tracker.rollups.range_plan import RangePlan, Segment, plan_range
from tracker.rollups.rollup_state import RollupState

_ROLLUP_COLUMNS = {
    "usage": ("model", "provider", "operation", "environment"),
    "unpriced": ("model", "provider", "operation", "environment"),
    "latency": ("model", "provider"),
    "recording": ("environment",),
}
"""The columns that the rollup of each query can be filtered by. The user rollup can't be filtered by any of them."""


def reads_calls(filters: Filters, *dimensions: str | None) -> bool:
    """Whether the filters or the dimensions contain a property: the rollups lack it, so that queries read the rows."""
    return bool(filters.properties) or any(key_of(dimension) is not None for dimension in dimensions)


def query_frame(reader: Reader, query: str, parameters: Mapping[str, object]) -> pd.DataFrame:
    """The result of a query as a frame; a result without rows has the columns, too."""
    columns, rows = reader.execute(query, parameters)
    return pd.DataFrame(rows, columns=list(columns))


def query_rollups(
    reader: Reader, query: str, filters: Filters, by: Sequence[str] = (), more: Mapping[str, Any] | None = None
) -> pd.DataFrame:
    """The result of a query grouped by `by`; with `step` in `by`, the frame has the column `bucket` (a label)."""
    plan = _plan(reader, filters, _ROLLUP_COLUMNS[query], by_bucket="step" in by)
    parameters = {**filters.parameters(), **plan.parameters(), "by": list(by), **(more or {})}
    return _with_bucket(query_frame(reader, query, parameters), filters)


def query_rollups_by_segment(
    reader: Reader, query: str, filters: Filters, segments: Sequence[Segment], by: Sequence[str] = ("step",)
) -> pd.DataFrame:
    """The result of a query grouped by `by`; `step` is that of the given segments."""
    state = _rollup_state(reader, filters, _ROLLUP_COLUMNS[query])
    selected = within_intervals(segments, filters.selected_intervals)
    parameters = {**filters.parameters(), **plan_range(selected, state).parameters(), "by": list(by)}
    return query_frame(reader, query, parameters)


def query_user_rollups(
    reader: Reader, query: str, filters: Filters, *, by_bucket: bool, more: Mapping[str, Any] | None = None
) -> pd.DataFrame:
    """The result of a query of the user rollups, for the range or by bucket."""
    plan = _plan(reader, filters, (), by_bucket=by_bucket)
    parameters = {**filters.parameters(), **user_range_plan.parameters(plan), **(more or {})}
    return _with_bucket(query_frame(reader, query, parameters), filters)


def query_rows(reader: Reader, query: str, filters: Filters, by: Sequence[str] = ()) -> pd.DataFrame:
    """The result of a query that reads rows only, grouped by `by`."""
    plan = plan_range(_segments(filters, by_bucket="step" in by), None)
    parameters = {**filters.parameters(), **plan.parameters(), "by": list(by)}
    return _with_bucket(query_frame(reader, query, parameters), filters)


def _plan(reader: Reader, filters: Filters, rollup_columns: Sequence[str], *, by_bucket: bool) -> RangePlan:
    return plan_range(_segments(filters, by_bucket=by_bucket), _rollup_state(reader, filters, rollup_columns))


def _rollup_state(reader: Reader, filters: Filters, rollup_columns: Sequence[str]) -> RollupState | None:
    """None, which means rows only, if the rollup lacks a filtered column or this role can't read rollups."""
    return reader.rollup_state() if filters.uses_only(*rollup_columns) else None


def _segments(filters: Filters, *, by_bucket: bool) -> Sequence[Segment]:
    segments = bucket_segments(filters) if by_bucket else range_segments(filters)
    return within_intervals(segments, filters.selected_intervals)


def _with_bucket(frame: pd.DataFrame, filters: Filters) -> pd.DataFrame:
    if "step" not in frame or frame["step"].isna().any():
        return frame
    frame["bucket"] = bucket_labels(filters)[frame.pop("step").to_numpy(dtype=int)]
    return frame
