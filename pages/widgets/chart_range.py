"""Ranges that a reader drags across a time chart: from buckets to UTC times in the address bar, and back."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import pandas as pd
import streamlit as st

from pages.support import query_params
from pages.support.i18n import _
from pages.widgets.chart_figures import STEPS
from pages.widgets.time_range import user_timezone
from pages.widgets.time_span import format_instants, to_local, to_utc

_BEFORE = "range_before_drag"


def bucket_notes(
    buckets: pd.DatetimeIndex, bucket: str, now: pd.Timestamp, edges: tuple[datetime, datetime] | None
) -> list[str]:
    """The note in the hover title of each bucket: it is still running, the range cuts it, or no note."""
    name = user_timezone()
    start, end = (pd.Timestamp(to_local(edge, name)) for edge in edges) if edges else (None, None)
    notes = []
    for at, following in zip(buckets, _following(buckets, bucket), strict=True):
        if at <= now < following:
            notes.append(_(", so far"))
        elif (start and at < start) or (end and following > end):
            notes.append(_(", partial"))
        else:
            notes.append("")
    return notes


def _following(buckets: pd.DatetimeIndex, bucket: str) -> list[pd.Timestamp]:
    """The end of each bucket."""
    last = buckets[-1] + (pd.DateOffset(months=1) if bucket == "month" else pd.Timedelta(STEPS[bucket]))
    return [*buckets[1:], last]


def bucket_span(
    buckets: pd.DatetimeIndex, bucket: str, number: int, edges: tuple[datetime, datetime] | None
) -> tuple[datetime, datetime]:
    """The start and the end of a bucket as UTC times, without the parts that the range cuts."""
    name = user_timezone()
    start = to_utc(buckets[number].to_pydatetime(), name)
    end = to_utc(_following(buckets, bucket)[number].to_pydatetime(), name)
    return (max(start, edges[0]), min(end, edges[1])) if edges else (start, end)


def revision(bucket: str) -> str:
    """The same text for the same range: a zoom stays as long as it does."""
    return f"{query_params.get('range')} {bucket}"


def is_zoomed() -> bool:
    """Whether a drag set the current range."""
    return _BEFORE in st.session_state and "T" in (query_params.get("range") or "")


def apply(result: Any, buckets: pd.DatetimeIndex, bucket: str) -> None:
    """Show the range that the reader dragged, or the one before the drag after a double click."""
    if result.reset and is_zoomed():
        query_params.set_and_rerun(range=st.session_state.pop(_BEFORE))
    match result.range:
        case [int() | float() as first, int() | float() as last]:
            if not is_zoomed():
                st.session_state[_BEFORE] = query_params.get("range")
            query_params.set_and_rerun(range=dragged(first, last, buckets, bucket, user_timezone()))


def dragged(first: float, last: float, buckets: pd.DatetimeIndex, bucket: str, name: str) -> str:
    """The range of the buckets between two positions of the axis, as the address bar has it."""
    start = min(max(round(first), 0), len(buckets) - 1)
    end = min(max(round(last), start), len(buckets) - 1)
    following = _following(buckets, bucket)[end]
    return format_instants(to_utc(buckets[start].to_pydatetime(), name), to_utc(following.to_pydatetime(), name))
