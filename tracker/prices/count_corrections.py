"""Corrects the counts of calls with inconsistent usage, from the raw numbers in their metadata."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tracker.providers.consistency import MAX_COUNT, reread_usage
from tracker.usage import TOKEN_COLUMNS

MARKS = ("usage_problem", "usage_raw", "usage_source")
"""The keys of `metadata` that mark inconsistent usage; a correction removes them."""
CORRECTED_COLUMNS = (*TOKEN_COLUMNS, "total_tokens")


@dataclass(frozen=True, slots=True)
class Correction:
    """The corrected usage of a marked call: the token columns, and the details of `metadata.usage`."""

    counts: Mapping[str, int]
    details: Mapping[str, Any]


def read_correction(metadata: Mapping[str, Any]) -> Correction | None:
    """The usage of a marked call by the current rules; None if it is still inconsistent."""
    usage = reread_usage(metadata)
    if usage is None or usage.problem is not None:
        return None
    counts = {name: usage.counts.get(name, 0) for name in TOKEN_COLUMNS}
    floor = counts["input_tokens"] + counts["output_tokens"]
    counts["total_tokens"] = max(usage.counts.get("total_tokens", floor), floor)
    if counts["total_tokens"] > MAX_COUNT:
        return None
    # The raw numbers exclude words such as the tier.
    stored = metadata.get("usage")
    return Correction(counts, {**(stored if isinstance(stored, Mapping) else {}), **usage.details})
