"""The marks of deployments on time charts: a thin line where a deployment made its first call."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import pandas as pd

from pages.support.formats import exact, short_date
from pages.support.i18n import _, plural
from pages.support.ttl_cache import cached, generation
from pages.widgets.chart_figures import STEPS
from pages.widgets.time_range import TimeRange
from pages.widgets.time_span import to_local
from tracker.errors import DatabaseError
from tracker.reports import Reader
from tracker.reports.deployments import FirstCall, first_calls

_TTL_S = 15.0
_MAX_NAME = 60
_LINE = {"color": "var(--st-text-color)", "width": 1, "dash": "dot"}


@dataclass(frozen=True, slots=True)
class Marks:
    """The deployments of a range, and the number of older ones that have no mark."""

    deployments: Sequence[FirstCall] = ()
    hidden: int = 0
    timezone: str = "UTC"

    def positions(self, buckets: pd.DatetimeIndex, bucket: str) -> list[tuple[float, FirstCall]]:
        """The positions on an axis over the numbers of the buckets. A deployment shortly before is at its start."""
        starts = [at.to_pydatetime() for at in buckets]
        step = pd.DateOffset(months=1) if bucket == "month" else pd.Timedelta(STEPS[bucket])
        edges = [*starts, (buckets[-1] + step).to_pydatetime()]
        before = (buckets[0] - step).to_pydatetime()
        found = []
        for call in self.deployments:
            local = to_local(call.at, self.timezone)
            if before <= local < edges[-1]:
                found.append((_position(edges, local), call))
        return found


def _position(edges: list[datetime], at: datetime) -> float:
    number = bisect_right(edges, at) - 1
    if number < 0:
        return -0.5
    return number - 0.5 + (at - edges[number]) / (edges[number + 1] - edges[number])


def deployment_marks(reader: Reader, range_: TimeRange, bucket: str | None = None) -> Marks:
    """The marks of the charts of a page; none if they can't be read. `bucket` is that of its charts."""
    filters = range_.filters
    key = ("deployments", generation(reader), range_.cache_key, bucket or filters.bucket)
    try:
        calls = cached(key, _TTL_S, lambda: first_calls(reader, filters, bucket))
    except DatabaseError:
        return Marks()  # the charts are useful without marks, and the page shows errors of its own queries
    return Marks(calls.deployments, calls.hidden, filters.timezone)


def mark_shapes(marks: Marks | None, buckets: pd.DatetimeIndex, bucket: str) -> dict[str, Any]:
    """The lines of the marks, for the layout of a figure."""
    positions = marks.positions(buckets, bucket) if marks else []
    if not positions:
        return {}
    line = {"type": "line", "xref": "x", "yref": "paper", "y0": 0, "y1": 1, "layer": "above", "line": _LINE}
    return {"shapes": [{**line, "x0": x, "x1": x, "opacity": 0.65} for x, _call in positions]}


def mark_options(marks: Marks | None, buckets: pd.DatetimeIndex, bucket: str) -> dict[str, Any] | None:
    """The texts of the marks, for the chart component; None if the chart has none."""
    positions = marks.positions(buckets, bucket) if marks else []
    if not marks or not positions:
        return None
    number = len(positions)
    summary = plural("{n} deployment", "{n} deployments", number).format(n=exact(number))
    if marks.hidden:
        summary = _("The newest {n} of {all} deployments").format(n=exact(number), all=exact(number + marks.hidden))
    return {
        "summary": summary,
        "items": [{"x": x, "text": _mark_text(call, marks.timezone)} for x, call in positions],
    }


def _mark_text(call: FirstCall, timezone: str) -> str:
    local = to_local(call.at, timezone)
    name = call.deployment if len(call.deployment) <= _MAX_NAME else f"{call.deployment[: _MAX_NAME - 1]}…"
    text = _("deployment {id}, first call {time}").format(id=name, time=f"{short_date(local)}, {local:%H:%M}")
    return f"{text} ({call.environment[:_MAX_NAME]})" if call.environment else text
