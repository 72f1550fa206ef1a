"""A range as the steps of its charts: where each begins and ends, in the reader's own days."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from tracker.reports.engine.frames import every_bucket
from tracker.reports.filters import Filters
from tracker.reports.wall_clock import clock_edges
from tracker.rollups.range_plan import Segment, microseconds


def whole(filters: Filters) -> list[Segment]:
    """The range as one step."""
    return [Segment(microseconds(filters.start), microseconds(filters.end), 0)]


def segments(filters: Filters) -> list[Segment]:
    """The range cut at the steps of `every_bucket`, whose positions `step` counts."""
    places = {label.to_pydatetime(): step for step, label in enumerate(every_bucket(filters))}
    found: list[Segment] = []
    end = microseconds(filters.end)
    edges = [(microseconds(moment), label) for moment, label in _edges(filters)]
    for (start, label), (until, _) in zip(edges, [*edges[1:], (end, None)], strict=True):
        if start >= until:
            continue  # a local day that was skipped
        step = places[label]
        if found and found[-1].step == step:
            found[-1] = Segment(found[-1].start, until, step)
        else:
            found.append(Segment(start, until, step))
    return found


def _edges(filters: Filters) -> Iterator[tuple[datetime, datetime]]:
    """Where the wall clock comes to another step, from the start of the range on."""
    start, end = filters.start.astimezone(UTC), filters.end.astimezone(UTC)
    if filters.bucket == "minute" or filters.bucket == "hour":
        yield from clock_edges(start, end, filters.timezone, filters.bucket)
        return
    zone, labels = ZoneInfo(filters.timezone), every_bucket(filters)
    yield start, labels[0].to_pydatetime()
    for label in labels[1:]:
        # Where midnight comes twice the first one counts, where it is left out the moment of the jump.
        wall = label.to_pydatetime()
        moment = wall.replace(tzinfo=zone).astimezone(UTC)
        if start < moment < end:
            yield moment, wall
