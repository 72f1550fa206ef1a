"""Plans which parts of a time range are read from rollups and which from rows.

Days, hours and 15-minute buckets that are up to date are read from the rollups, in the largest bucket size that fits.
The ends of the range, invalidated buckets and days that are not covered yet are read from the rows. The result of a
query never depends on the progress of a refresh; only its speed does.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from tracker.rollups.rollup_state import RollupState
from tracker.rollups.rollup_tables import BUCKET_MINUTES, DAY_S, INTERVAL_15M_S

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_SECOND_US = 1_000_000
INTERVAL_15M_US = INTERVAL_15M_S * _SECOND_US
DAY_US = DAY_S * _SECOND_US
_BUCKET_SIZES_US = tuple(minutes * 60 * _SECOND_US for minutes in reversed(BUCKET_MINUTES))
_DirtyBuckets = list[list[int]]
"""For each bucket size, largest first: the starts of the dirty buckets, in order."""


@dataclass(frozen=True, slots=True)
class Segment:
    """A part of a range that belongs to one step. After a clock change, a step can have two segments."""

    start_us: int
    until_us: int
    step: int


@dataclass(frozen=True, slots=True)
class BucketRange:
    """Rollup buckets of `minutes` from `start_us` to before `until_us`.

    They are of `generation` and later (1: pruned calls only).
    """

    minutes: int
    start_us: int
    until_us: int
    step: int
    generation: int = 0


@dataclass(slots=True)
class RangePlan:
    """A range divided into bucket ranges (read from rollups) and segments (read from rows), without overlap."""

    segments: Sequence[Segment]
    rollups: list[BucketRange] = field(default_factory=list)
    rows: list[Segment] = field(default_factory=list)

    def add_buckets(self, added: BucketRange) -> None:
        """Add rollup buckets in the order of time: joined to the last range if they continue it."""
        last = self.rollups[-1] if self.rollups else None
        if last and (last.minutes, last.step, last.generation, last.until_us) == (
            added.minutes,
            added.step,
            added.generation,
            added.start_us,
        ):
            self.rollups[-1] = BucketRange(last.minutes, last.start_us, added.until_us, last.step, last.generation)
        else:
            self.rollups.append(added)

    def add_rows(self, start_us: int, until_us: int, step: int) -> None:
        """Read a part from the rows, and from the rollups the calls of its 15-minute buckets that were pruned.

        A pruned bucket belongs to the segment that contains its start. It is in the plan also if the state has no
        pruned rows: they can be pruned between reading the state and running the query.
        """
        self.add_rows_only(start_us, until_us, step)
        low, high = _next_15m(start_us), _next_15m(until_us)
        if low < high:
            self.add_buckets(BucketRange(BUCKET_MINUTES[0], low, high, step, generation=1))

    def add_rows_only(self, start_us: int, until_us: int, step: int) -> None:
        if start_us >= until_us:
            return
        last = self.rows[-1] if self.rows else None
        if last and (last.step, last.until_us) == (step, start_us):
            self.rows[-1] = Segment(last.start_us, until_us, step)
        else:
            self.rows.append(Segment(start_us, until_us, step))

    def parameters(self) -> dict[str, Any]:
        """The bound parameters of a query. The longest row range is bound separately, for a better query plan."""
        longest = max(_merge_adjacent(self.rows), key=lambda times: times[1] - times[0], default=(0, 0))
        others = [segment for segment in self.rows if not longest[0] <= segment.start_us < longest[1]]
        return {
            "minutes": integer_array(buckets.minutes for buckets in self.rollups),
            "starts": timestamptz_array_us(buckets.start_us for buckets in self.rollups),
            "untils": timestamptz_array_us(buckets.until_us for buckets in self.rollups),
            "steps": integer_array(buckets.step for buckets in self.rollups),
            "generations": integer_array(buckets.generation for buckets in self.rollups),
            "rows_starts": timestamptz_array_us(segment.start_us for segment in others),
            "rows_untils": timestamptz_array_us(segment.until_us for segment in others),
            "rows_steps": integer_array(segment.step for segment in others),
            "rows_start": _timestamptz(longest[0]),
            "rows_until": _timestamptz(longest[1]),
            "edges": timestamptz_array_us(segment.start_us for segment in self.segments),
            "edge_steps": integer_array(segment.step for segment in self.segments),
        }


def epoch_us(time: datetime) -> int:
    """An aware datetime as microseconds of the epoch, without rounding."""
    return (time - EPOCH) // timedelta(microseconds=1)


def plan_range(
    segments: Sequence[Segment], state: RollupState | None, marks: Mapping[int, Iterable[int]] | None = None
) -> RangePlan:
    """The plan for a range; without a state everything is read from the rows.

    `marks` are buckets without values, by their size in minutes (starts in seconds of the epoch). They are read from
    smaller buckets, and 15-minute buckets from the rows.
    """
    plan = RangePlan(segments)
    dirty = [] if state is None else _dirty_buckets(state, marks or {})
    for segment in segments:
        low, high = _next_15m(segment.start_us), segment.until_us // INTERVAL_15M_US * INTERVAL_15M_US
        if state is None:
            plan.add_rows_only(segment.start_us, segment.until_us, segment.step)
        elif low >= high:
            plan.add_rows(segment.start_us, segment.until_us, segment.step)
        else:
            plan.add_rows(segment.start_us, low, segment.step)
            _add_level(plan, state, dirty, low, high, segment.step, level=0)
            plan.add_rows(high, segment.until_us, segment.step)
    return plan


def _next_15m(time_us: int) -> int:
    return -(-time_us // INTERVAL_15M_US) * INTERVAL_15M_US


def _dirty_buckets(state: RollupState, marks: Mapping[int, Iterable[int]]) -> _DirtyBuckets:
    return [
        sorted(
            {second * _SECOND_US // size * size for second in state.dirty_buckets}
            | {second * _SECOND_US for second in marks.get(size // _SECOND_US // 60, ())}
        )
        for size in _BUCKET_SIZES_US
    ]


def _add_level(
    plan: RangePlan, state: RollupState, dirty: _DirtyBuckets, low: int, high: int, step: int, level: int
) -> None:
    """Add the clean buckets of this size that lie within `low` to `high`; add the rest in the next smaller size."""
    size = _BUCKET_SIZES_US[level]
    first, last = -(-low // size) * size, high // size * size
    if first >= last:
        _add_next_level(plan, state, dirty, low, high, step, level)
        return
    _add_next_level(plan, state, dirty, low, first, step, level)
    covered_from_us = state.covered_from * _SECOND_US
    if covered_from_us > first:  # a start of a day, so it is never within a bucket
        uncovered_until = last if covered_from_us >= last else int(covered_from_us)
        plan.add_rows(first, uncovered_until, step)
        first = uncovered_until
    minutes, dirty_starts = size // _SECOND_US // 60, dirty[level]
    for bucket in dirty_starts[bisect_left(dirty_starts, first) : bisect_left(dirty_starts, last)]:
        if first < bucket:
            plan.add_buckets(BucketRange(minutes, first, bucket, step))
        _add_next_level(plan, state, dirty, bucket, bucket + size, step, level)
        first = bucket + size
    if first < last:
        plan.add_buckets(BucketRange(minutes, first, last, step))
    _add_next_level(plan, state, dirty, last, high, step, level)


def _add_next_level(
    plan: RangePlan, state: RollupState, dirty: _DirtyBuckets, low: int, high: int, step: int, level: int
) -> None:
    if low >= high:
        return
    if level + 1 < len(_BUCKET_SIZES_US):
        _add_level(plan, state, dirty, low, high, step, level + 1)
    else:
        plan.add_rows(low, high, step)


def _merge_adjacent(segments: Iterable[Segment]) -> list[tuple[int, int]]:
    """The start and end of each run of adjacent segments, independent of their steps."""
    merged: list[tuple[int, int]] = []
    for segment in segments:
        if merged and merged[-1][1] == segment.start_us:
            merged[-1] = (merged[-1][0], segment.until_us)
        else:
            merged.append((segment.start_us, segment.until_us))
    return merged


def integer_array(values: Iterable[int]) -> str:
    """Integers as a PostgreSQL array literal."""
    return "{" + ",".join(map(str, values)) + "}"


def timestamptz_array_us(times_us: Iterable[int]) -> str:
    """Microseconds of the epoch as a PostgreSQL array literal of timestamptz."""
    return "{" + ",".join(map(_timestamptz, times_us)) + "}"


def _timestamptz(time_us: int) -> str:
    return (EPOCH + timedelta(microseconds=time_us)).isoformat()
