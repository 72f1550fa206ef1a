"""New counts for calls whose usage was marked as inconsistent, read from the numbers that were stored with the mark."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tracker.prices.price_coverage import COUNT_UNITS
from tracker.providers.consistency import MAX_COUNT, reread_usage

MARKS = ("usage_problem", "usage_raw", "usage_source")
"""The keys of `metadata` that mark a call; a successful reading removes them."""
COUNTS = (*COUNT_UNITS, "total_tokens")


@dataclass(frozen=True, slots=True)
class Correction:
    """What a marked call used: the table's token columns, and the details of `metadata.usage`."""

    counts: Mapping[str, int]
    details: Mapping[str, Any]


def read_correction(metadata: Mapping[str, Any]) -> Correction | None:
    """What today's rules read from a marked call; None if they read nothing consistent."""
    found = reread_usage(metadata)
    if found is None or found.problem is not None:
        return None
    counts = {name: found.counts.get(name, 0) for name in COUNT_UNITS}
    floor = counts["input_tokens"] + counts["output_tokens"]
    counts["total_tokens"] = max(found.counts.get("total_tokens", floor), floor)
    if counts["total_tokens"] > MAX_COUNT:
        return None
    # Words such as the tier are not among the stored numbers.
    stored = metadata.get("usage")
    return Correction(counts, {**(stored if isinstance(stored, Mapping) else {}), **found.details})
