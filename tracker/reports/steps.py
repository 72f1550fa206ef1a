"""A range as the steps of its charts: where each begins and ends, in the reader's own days."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pandas as pd

from tracker.reports.filters import Filters
from tracker.reports.frames import every_bucket
from tracker.rollups.pieces import EPOCH, Segment, microseconds


def whole(filters: Filters) -> list[Segment]:
    """The range as one step."""
    return [Segment(microseconds(filters.start), microseconds(filters.end), 0)]


def segments(filters: Filters) -> list[Segment]:
    """The range cut at the steps of `every_bucket`, whose positions `step` counts."""
    places = {label: step for step, label in enumerate(every_bucket(filters))}
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


def _edges(filters: Filters) -> Iterator[tuple[datetime, pd.Timestamp]]:
    """Where the wall clock comes to another step, from the start of the range on."""
    zone = ZoneInfo(filters.timezone)
    labels = every_bucket(filters)
    if filters.bucket in {"minute", "hour"}:
        yield from _clock_edges(filters, zone)
        return
    yield filters.start.astimezone(UTC), labels[0]
    for label in labels[1:]:
        # Where midnight comes twice the first one counts, where it is left out the moment of the jump.
        moment = label.to_pydatetime().replace(tzinfo=zone).astimezone(UTC)
        if filters.start < moment < filters.end:
            yield moment, label


def _clock_edges(filters: Filters, zone: ZoneInfo) -> Iterator[tuple[datetime, pd.Timestamp]]:
    """Minutes and hours in the order in which they pass, so that an hour which comes twice is found twice."""
    rule, length = ("min", 60) if filters.bucket == "minute" else ("h", 900)
    moment, last = filters.start.astimezone(UTC), None
    while moment < filters.end:
        label = pd.Timestamp(moment.astimezone(zone).replace(tzinfo=None)).floor(rule)
        if label != last:
            yield moment, label
        last = label
        passed = microseconds(moment) // 1_000_000
        moment = EPOCH + timedelta(seconds=passed - passed % length + length)
