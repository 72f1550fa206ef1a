"""Totals that only grow, from sums that can fall: a changed price, pruned or removed calls, corrected counts.

Each label set has a row with the exported totals and the sums they were made from. An increase of a sum is added to the
exported total; a decrease changes the stored sum only. The first `MAX_LABEL_SETS` label sets keep their row for good,
and the sums of all others are added up in one row.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import NamedTuple

MAX_LABEL_SETS = 200
MEASURES = (
    "calls",
    "failed_calls",
    "unpriced_calls",
    "input_tokens",
    "output_tokens",
    "cache_read_input_tokens",
    "cache_write_input_tokens",
    "reasoning_output_tokens",
    "cost_usd",
)
Sums = Mapping[str, Decimal]
"""A value of each measure."""
NO_CALLS: Sums = dict.fromkeys(MEASURES, Decimal(0))


class LabelSet(NamedTuple):
    """The labels of a series. `is_remainder`: the label sets without a row of their own."""

    provider: str
    model: str
    operation: str
    environment: str
    is_remainder: bool = False


REMAINDER = LabelSet("other", "other", "other", "other", is_remainder=True)


@dataclass(frozen=True, slots=True)
class GrowingTotal:
    """The exported totals of a label set, and the sums of its calls that they include."""

    exported: Sums
    counted: Sums

    def count(self, sums: Sums) -> GrowingTotal:
        """The totals after the sums changed to `sums`."""
        increases = {name: max(sums[name] - self.counted[name], Decimal(0)) for name in MEASURES}
        return replace(self, exported=_add(self.exported, increases), counted=sums)

    def at_least(self, other: GrowingTotal | None) -> GrowingTotal:
        """The same with the larger exported totals, so that no series falls when a process begins to store them."""
        if other is None:
            return self
        return replace(self, exported={name: max(self.exported[name], other.exported[name]) for name in MEASURES})


Totals = Mapping[LabelSet, GrowingTotal]


def count_sums(totals: Totals, sums: Mapping[LabelSet, Sums]) -> dict[LabelSet, GrowingTotal]:
    """The totals after the sums of all calls changed to `sums`, which are ordered by their number of calls.

    A label set without calls now has sums of 0.
    """
    own = [label_set for label_set in totals if not label_set.is_remainder]
    new = [label_set for label_set in sums if label_set not in totals and not label_set.is_remainder]
    own += new[: MAX_LABEL_SETS - len(own)]
    counted = {label_set: sums.get(label_set, NO_CALLS) for label_set in own}
    others = [sums[label_set] for label_set in sums if label_set not in counted]
    if others or REMAINDER in totals:
        counted[REMAINDER] = _sum(others)
    start = GrowingTotal(NO_CALLS, NO_CALLS)
    return {label_set: totals.get(label_set, start).count(values) for label_set, values in counted.items()}


def _sum(rows: Iterable[Sums]) -> Sums:
    total = NO_CALLS
    for row in rows:
        total = _add(total, row)
    return total


def _add(first: Sums, second: Sums) -> Sums:
    return {name: first[name] + second[name] for name in MEASURES}
