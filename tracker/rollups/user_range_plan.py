"""The pieces of a range for the users' rollup, which has one row a user and day, with the day's quarters in it."""

from __future__ import annotations

from typing import Any

from tracker.rollups.range_plan import _DAY, _QUARTER, Pieces, Stretch, _array, _moments


def parameters(pieces: Pieces) -> dict[str, Any]:
    """What the users' questions are bound to: whole days, and parts of days by their quarters (slots 0 to 96)."""
    days: list[tuple[Stretch, int, int]] = []
    for stretch in pieces.rollup:
        for part, first, until in _days(stretch):
            # Quarters, then hours, then quarters of one day are one part of it.
            if days and days[-1][0] == part and days[-1][2] == first:
                days[-1] = (part, days[-1][1], until)
            else:
                days.append((part, first, until))
    return {
        **pieces.parameters(),
        "starts": _moments(day.start for day, _, _ in days),
        "untils": _moments(day.until for day, _, _ in days),
        "steps": _array(day.step for day, _, _ in days),
        "generations": _array(day.generation for day, _, _ in days),
        "first_slots": _array(first for _, first, _ in days),
        "until_slots": _array(until for _, _, until in days),
    }


def _days(stretch: Stretch) -> list[tuple[Stretch, int, int]]:
    """A stretch as whole days and parts of days, each with its slots."""
    if stretch.minutes == 1440:
        return [(stretch, 0, 96)]
    found = []
    start = stretch.start
    while start < stretch.until:
        day = start // _DAY * _DAY
        until = min(stretch.until, day + _DAY)
        part = Stretch(1440, day, day + _DAY, stretch.step, stretch.generation)
        found.append((part, (start - day) // _QUARTER, (until - day) // _QUARTER))
        start = until
    return found
