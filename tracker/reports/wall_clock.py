"""The minutes and hours that a wall clock shows in a range, in the order in which they pass."""

from __future__ import annotations

from datetime import datetime, timedelta
from functools import lru_cache
from math import gcd
from typing import Literal
from zoneinfo import ZoneInfo

_LENGTHS_S = {"minute": 60, "hour": 900}


@lru_cache(maxsize=64)
def clock_edges(
    start: datetime, end: datetime, timezone: str, bucket: Literal["minute", "hour"]
) -> tuple[tuple[datetime, datetime], ...]:
    """Where each begins, and what the clock shows; an hour that comes twice is there twice. `start`, `end` are of UTC.

    A range without length has the minute or hour that it lies in.
    """
    zone = ZoneInfo(timezone)
    moment = start
    found: list[tuple[datetime, datetime]] = []
    while moment < end or not found:
        wall = moment.astimezone(zone)
        shown = wall.replace(minute=wall.minute if bucket == "minute" else 0, second=0, microsecond=0)
        label = shown.replace(tzinfo=None, fold=0)
        if not found or label != found[-1][1]:
            found.append((moment, label))
        following = _next(moment, wall, _LENGTHS_S[bucket])
        # Most clocks change at a whole quarter of an hour, some at a minute past midnight.
        changes = following.astimezone(zone).utcoffset() != wall.utcoffset()
        moment = _next(moment, wall, 60) if changes else following
    return tuple(found)


def _next(moment: datetime, wall: datetime, length_s: int) -> datetime:
    """The next moment that is whole on any clock; before time zones clocks were seconds apart from one another.

    Until then a clock showed local mean time, such as 16 minutes and 8 seconds before UTC in Abidjan until 1912: its
    minutes and hours begin at odd seconds of UTC, and are cut there.
    """
    step = gcd(length_s, int((wall.utcoffset() or timedelta()).total_seconds()))
    second = moment.replace(microsecond=0)  # before 1970 a part of a second would count backwards
    return second + timedelta(seconds=step - int(second.timestamp()) % step)
