"""The bound parameters of a range plan for the user rollup: one row per user and day, with the day's 15-minute buckets.

A slot is the position of a 15-minute bucket in its day, 0 to 95, as in the columns `first_slot`, `last_slot`, `slots`.
"""

from __future__ import annotations

from typing import Any

from tracker.rollups.range_plan import (
    DAY_US,
    INTERVAL_15M_US,
    BucketRange,
    RangePlan,
    integer_array,
    timestamptz_array_us,
)

_DAY_MINUTES = 1440
_SLOTS_PER_DAY = 96
_DayRange = tuple[BucketRange, int, int]
"""Days, their first slot, and the slot after the last one."""


def parameters(plan: RangePlan) -> dict[str, Any]:
    """The bound parameters of a query of the user rollups: whole days, and parts of days by slot."""
    day_ranges: list[_DayRange] = []
    for buckets in plan.rollups:
        for days, first_slot, until_slot in _split_by_day(buckets):
            # Adjacent buckets of one day, such as 15-minute buckets and then hours, are one part of it.
            if day_ranges and day_ranges[-1][0] == days and day_ranges[-1][2] == first_slot:
                day_ranges[-1] = (days, day_ranges[-1][1], until_slot)
            else:
                day_ranges.append((days, first_slot, until_slot))
    return {
        **plan.parameters(),
        "starts": timestamptz_array_us(days.start_us for days, _, _ in day_ranges),
        "untils": timestamptz_array_us(days.until_us for days, _, _ in day_ranges),
        "steps": integer_array(days.step for days, _, _ in day_ranges),
        "generations": integer_array(days.generation for days, _, _ in day_ranges),
        "first_slots": integer_array(first_slot for _, first_slot, _ in day_ranges),
        "until_slots": integer_array(until_slot for _, _, until_slot in day_ranges),
    }


def _split_by_day(buckets: BucketRange) -> list[_DayRange]:
    if buckets.minutes == _DAY_MINUTES:
        return [(buckets, 0, _SLOTS_PER_DAY)]
    day_ranges: list[_DayRange] = []
    start_us = buckets.start_us
    while start_us < buckets.until_us:
        day_us = start_us // DAY_US * DAY_US
        until_us = min(buckets.until_us, day_us + DAY_US)
        day = BucketRange(_DAY_MINUTES, day_us, day_us + DAY_US, buckets.step, buckets.generation)
        day_ranges.append((day, (start_us - day_us) // INTERVAL_15M_US, (until_us - day_us) // INTERVAL_15M_US))
        start_us = until_us
    return day_ranges
