"""The sample history of the connections: the page shows it before the first real point while sample data is loaded."""

from __future__ import annotations

import math
from random import Random

from tracker.errors import TrackerError
from tracker.reports.connections.sampler import Point
from tracker.reports.connections.sessions import STATES
from tracker.reports.engine.reader import Reader

HISTORY_S = 6 * 3600
_STEP_S = 240


def has_sample_calls(reader: Reader) -> bool:
    """Whether the table contains sample calls; False if it can't be read."""
    try:
        return bool(reader.rows("has_sample_calls")[0]["has_sample_calls"])
    except TrackerError:
        return False


def sample_points(start_s: float, end_s: float) -> list[Point]:
    """Synthetic points within the range (seconds of the epoch); the same ones for each call."""
    first, last = math.ceil(start_s / _STEP_S), math.ceil(end_s / _STEP_S)
    return [Point(float(number * _STEP_S), _states(number)) for number in range(first, last)]


def _states(number: int) -> dict[str, int]:
    """The connections by state: a slow wave of idle ones, a few active ones, and sometimes an open transaction."""
    draw = Random(number)  # noqa: S311  no secret, and repeatable
    counts = {
        "active": draw.choice((0, 1, 1, 2, 3)),
        "idle": round(9 + 5 * math.sin(number / 17)) + draw.choice((0, 0, 1)),
        "idle in transaction": int(draw.random() < 0.08),
    }
    return {state: counts.get(state, 0) for state in (*STATES, "hidden")}
