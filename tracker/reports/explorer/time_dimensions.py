"""Time as a dimension of the Explorer: hours, days, weeks and months of the calendar, weekdays and hours of the day.

The values are text that does not depend on a language: 2026-11-27T14, 2026-11-27, 2026-11-23 (a Monday), 2026-11, 0 to
6 (0 is Monday), and 0 to 23.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from tracker.reports.explorer.local_clock import Interval, clock_edges
from tracker.reports.filters import Filters
from tracker.reports.time_buckets import day_edges, within_intervals
from tracker.rollups.range_plan import Segment, epoch_us

_VALUES: Mapping[str, Callable[[datetime], str]] = {
    "hour": lambda label: f"{label:%Y-%m-%dT%H}",
    "day": lambda label: f"{label:%Y-%m-%d}",
    "week": lambda label: f"{label - timedelta(days=label.weekday()):%Y-%m-%d}",
    "month": lambda label: f"{label:%Y-%m}",
    "weekday": lambda label: str(label.weekday()),
    "hour_of_day": lambda label: str(label.hour),
}
TIME_DIMENSIONS = tuple(_VALUES)
CALENDAR_DIMENSIONS = ("hour", "day", "week", "month")
_NEED_HOURS = frozenset({"hour", "weekday", "hour_of_day"})


@dataclass(frozen=True, slots=True)
class TimeDimensions:
    """The segments of a range by time dimensions: `values` has the value of each dimension for each step."""

    segments: Sequence[Segment]
    values: Sequence[tuple[str, ...]]


def divide_range(filters: Filters, dimensions: Sequence[str]) -> TimeDimensions:
    """The range of the filters, divided by the time dimensions; without any, one step."""
    start, end = filters.start.astimezone(UTC), filters.end.astimezone(UTC)
    if _NEED_HOURS.intersection(dimensions):
        edges = list(clock_edges(start, end, filters.timezone, "hour"))
    elif dimensions:
        edges = day_edges(start, end, filters.timezone)
    else:
        edges = [(epoch_us(start), start.replace(tzinfo=None))]
    steps: dict[tuple[str, ...], int] = {}
    segments: list[Segment] = []
    ends = [*(start_us for start_us, _ in edges[1:]), epoch_us(end)]
    for (start_us, label), until_us in zip(edges, ends, strict=True):
        step = steps.setdefault(tuple(_VALUES[name](label) for name in dimensions), len(steps))
        if segments and segments[-1].step == step:
            segments[-1] = Segment(segments[-1].start_us, until_us, step)
        elif start_us < until_us:
            segments.append(Segment(start_us, until_us, step))
    return TimeDimensions(within_intervals(segments, filters.selected_intervals), list(steps))


def intervals_of(filters: Filters, chosen: Mapping[str, str]) -> list[Interval]:
    """The intervals of the filters' range in which each time dimension of `chosen` has its chosen value."""
    divided = divide_range(filters, list(chosen))
    values = tuple(chosen.values())
    return [
        (segment.start_us, segment.until_us) for segment in divided.segments if divided.values[segment.step] == values
    ]


def value_of(dimension: str, local: datetime) -> str:
    """The value of a time dimension at a local time."""
    return _VALUES[dimension](local)


def sort_key(dimension: str) -> Callable[[str], tuple[bool, int, str]]:
    """A sort key that puts the values of a time dimension in order of time; `unknown` comes last."""
    numeric = dimension in {"weekday", "hour_of_day"}
    return lambda value: (not value[:1].isdigit(), int(value) if numeric and value.isdigit() else 0, value)
