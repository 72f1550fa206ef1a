"""Where each stretch of a range is read: added up already, or from the rows.

Whole days, hours and quarters of an hour that nothing touched since they were added up come from the rollups, in the
largest grain that fits; ragged ends, what was touched since, and what isn't covered yet come from the rows. So the
answer is the same however far a refresh got, and only its speed depends on it.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from tracker.rollups.rollup_state import State
from tracker.rollups.rollup_tables import DAY_S, GRAINS_MINUTES, QUARTER_S

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_SECOND = 1_000_000
_QUARTER = QUARTER_S * _SECOND
_DAY = DAY_S * _SECOND
Dirty = list[list[int]]
_GRAINS = tuple(minutes * 60 * _SECOND for minutes in reversed(GRAINS_MINUTES))


@dataclass(frozen=True, slots=True)
class Segment:
    """A stretch of time, in microseconds of the epoch, that belongs to one step. A clock set back gives a step two."""

    start: int
    until: int
    step: int


@dataclass(frozen=True, slots=True)
class Stretch:
    """Buckets of `minutes` from `start` up to `until`; from `generation` on, so that 1 means: only what was pruned."""

    minutes: int
    start: int
    until: int
    step: int
    generation: int = 0


@dataclass(slots=True)
class Pieces:
    """A range in pieces, each moment in exactly one; all in microseconds of the epoch."""

    segments: Sequence[Segment]
    rollup: list[Stretch] = field(default_factory=list)
    rows: list[Segment] = field(default_factory=list)

    def add(self, stretch: Stretch) -> None:
        last = self.rollup[-1] if self.rollup else None
        same = last and (last.minutes, last.step, last.generation, last.until) == (
            stretch.minutes,
            stretch.step,
            stretch.generation,
            stretch.start,
        )
        if last and same:
            self.rollup[-1] = Stretch(last.minutes, last.start, stretch.until, last.step, last.generation)
        else:
            self.rollup.append(stretch)

    def add_rows(self, start: int, until: int, step: int) -> None:
        if start >= until:
            return
        last = self.rows[-1] if self.rows else None
        if last and (last.step, last.until) == (step, start):
            self.rows[-1] = Segment(last.start, until, step)
        else:
            self.rows.append(Segment(start, until, step))

    def parameters(self) -> dict[str, Any]:
        """What the questions are bound to. The longest stretch of rows is bound by itself, for a plan that fits it."""
        merged = _joined(self.rows)
        longest = max(merged, key=lambda stretch: stretch[1] - stretch[0], default=(0, 0))
        scattered = [piece for piece in self.rows if not longest[0] <= piece.start < longest[1]]
        return {
            "minutes": _array(stretch.minutes for stretch in self.rollup),
            "starts": _moments(stretch.start for stretch in self.rollup),
            "untils": _moments(stretch.until for stretch in self.rollup),
            "steps": _array(stretch.step for stretch in self.rollup),
            "generations": _array(stretch.generation for stretch in self.rollup),
            "rows_starts": _moments(piece.start for piece in scattered),
            "rows_untils": _moments(piece.until for piece in scattered),
            "rows_steps": _array(piece.step for piece in scattered),
            "rows_start": _moment(longest[0]),
            "rows_until": _moment(longest[1]),
            "edges": _moments(segment.start for segment in self.segments),
            "edge_steps": _array(segment.step for segment in self.segments),
        }


def microseconds(moment: datetime) -> int:
    """A moment as microseconds of the epoch, exactly."""
    return (moment - EPOCH) // timedelta(microseconds=1)


def cut(segments: Sequence[Segment], state: State | None) -> Pieces:
    """The pieces of a range; without a state everything comes from the rows."""
    pieces = Pieces(segments)
    dirty = [] if state is None else _dirty(state)
    for segment in segments:
        low, high = -(-segment.start // _QUARTER) * _QUARTER, segment.until // _QUARTER * _QUARTER
        if state is None:
            pieces.add_rows(segment.start, segment.until, segment.step)
        elif low >= high:
            _rows(pieces, segment.start, segment.until, segment.step)
        else:
            _rows(pieces, segment.start, low, segment.step)
            _cover(pieces, state, dirty, low, high, segment.step)
            _rows(pieces, high, segment.until, segment.step)
    return pieces


def _dirty(state: State) -> Dirty:
    """For each grain the buckets in which a quarter was touched, in order."""
    return [sorted({second * _SECOND // grain * grain for second in state.touched}) for grain in _GRAINS]


def _cover(pieces: Pieces, state: State, dirty: Dirty, low: int, high: int, step: int, level: int = 0) -> None:
    """Take what fits of this level's grain, and what is left over of the next smaller one's."""
    grain = _GRAINS[level]
    first, last = -(-low // grain) * grain, high // grain * grain
    if first >= last:
        _finer(pieces, state, dirty, low, high, step, level)
        return
    _finer(pieces, state, dirty, low, first, step, level)
    covered_from = state.covered_from * _SECOND
    if covered_from > first:  # whole days, so that it never lies inside a bucket
        uncovered = last if covered_from >= last else int(covered_from)
        _rows(pieces, first, uncovered, step)
        first = uncovered
    minutes, touched = grain // _SECOND // 60, dirty[level]
    for bucket in touched[bisect_left(touched, first) : bisect_left(touched, last)]:
        if first < bucket:
            pieces.add(Stretch(minutes, first, bucket, step))
        _finer(pieces, state, dirty, bucket, bucket + grain, step, level)
        first = bucket + grain
    if first < last:
        pieces.add(Stretch(minutes, first, last, step))
    _finer(pieces, state, dirty, last, high, step, level)


def _finer(pieces: Pieces, state: State, dirty: Dirty, low: int, high: int, step: int, level: int) -> None:
    if low >= high:
        return
    if level + 1 < len(_GRAINS):
        _cover(pieces, state, dirty, low, high, step, level + 1)
    else:
        _rows(pieces, low, high, step)


def _rows(pieces: Pieces, start: int, until: int, step: int) -> None:
    """Read rows, and what was pruned beside them: a pruned quarter belongs to the stretch that it begins in.

    Whatever the state says was pruned: rows may be pruned between looking it up and asking.
    """
    pieces.add_rows(start, until, step)
    low, high = -(-start // _QUARTER) * _QUARTER, -(-until // _QUARTER) * _QUARTER
    if low < high:
        pieces.add(Stretch(GRAINS_MINUTES[0], low, high, step, generation=1))


def _joined(pieces: Iterable[Segment]) -> list[tuple[int, int]]:
    """Stretches of rows whatever their step."""
    merged: list[tuple[int, int]] = []
    for piece in pieces:
        if merged and merged[-1][1] == piece.start:
            merged[-1] = (merged[-1][0], piece.until)
        else:
            merged.append((piece.start, piece.until))
    return merged


def _array(values: Iterable[int]) -> str:
    return "{" + ",".join(map(str, values)) + "}"


def _moment(microseconds: int) -> str:
    return (EPOCH + timedelta(microseconds=microseconds)).isoformat()


def _moments(values: Iterable[int]) -> str:
    return "{" + ",".join(map(_moment, values)) + "}"
