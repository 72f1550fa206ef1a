"""Asking a question of rollups and rows together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from tracker.reports.engine.frames import every_bucket, frame
from tracker.reports.engine.reader import Reader
from tracker.reports.filters import Filters
from tracker.reports.time_buckets import segments, whole
from tracker.rollups import user_range_plan
from tracker.rollups.range_plan import Pieces, Segment, cut

_FILTERS = {
    "usage": ("model", "provider", "operation", "environment"),
    "unpriced": ("model", "provider", "operation", "environment"),
    "latency": ("model", "provider"),
    "recording": ("environment",),
}
"""The columns that each question's rollup tells apart; the users' one tells none apart."""


def figures(
    reader: Reader, question: str, filters: Filters, by: Sequence[str] = (), more: Mapping[str, Any] | None = None
) -> pd.DataFrame:
    """A question's answer by columns; with `step` among them, `bucket` is its beginning on the reader's wall clock."""
    pieces = _pieces(reader, filters, _FILTERS[question], steps="step" in by)
    given = {**filters.parameters(), **pieces.parameters(), "by": list(by), **(more or {})}
    return _with_bucket(frame(reader, question, given), filters)


def step_figures(reader: Reader, question: str, filters: Filters, steps: Sequence[Segment]) -> pd.DataFrame:
    """A question's answer by steps of the caller's own; `step` is its number."""
    state = reader.rollups() if filters.only(*_FILTERS[question]) else None
    given = {**filters.parameters(), **cut(steps, state).parameters(), "by": ["step"]}
    return frame(reader, question, given)


def user_figures(
    reader: Reader, question: str, filters: Filters, *, steps: bool, more: Mapping[str, Any] | None = None
) -> pd.DataFrame:
    """A question about users, over the range or step by step."""
    pieces = _pieces(reader, filters, (), steps=steps)
    given = {**filters.parameters(), **user_range_plan.parameters(pieces), **(more or {})}
    return _with_bucket(frame(reader, question, given), filters)


def rows_figures(reader: Reader, question: str, filters: Filters, by: Sequence[str] = ()) -> pd.DataFrame:
    """A question that only the rows can answer."""
    pieces = cut(segments(filters) if "step" in by else whole(filters), None)
    given = {**filters.parameters(), **pieces.parameters(), "by": list(by)}
    return _with_bucket(frame(reader, question, given), filters)


def _pieces(reader: Reader, filters: Filters, told_apart: Sequence[str], *, steps: bool) -> Pieces:
    state = reader.rollups() if filters.only(*told_apart) else None
    return cut(segments(filters) if steps else whole(filters), state)


def _with_bucket(answer: pd.DataFrame, filters: Filters) -> pd.DataFrame:
    if "step" not in answer or answer["step"].isna().any():
        return answer
    buckets = every_bucket(filters)
    return answer.assign(bucket=buckets[answer["step"].to_numpy(dtype=int)]).drop(columns="step")
