"""The loss ledger: which sequence numbers have no row, and what explains them.

A number is *missing* only if no ledger entry explains it and its record can't arrive any more: its process has ended,
or a later record of the process arrived longer ago than any deadline. Until then it is *in flight*.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tracker.errors import SetupError
from tracker.messages import Message
from tracker.reports.engine.reader import Reader
from tracker.reports.filters import Filters

# The longest deadline that TRACKER_DEADLINE_S allows.
MAX_DEADLINE_S = 900.0
EXPLANATIONS = ("duplicate", "set_aside", "removed", "pruned", "waiting")
"""The kinds of ledger entries that explain a number without a row."""
NumberRange = tuple[int, int]
"""The first and the last number, inclusive."""


@dataclass(slots=True)
class DeploymentCounts:
    """The sequence numbers of one deployment.

    `recorded` is the number of rows in the range, `tests` how many of them are test records. `open_instances` is the
    number of processes that never reported their last number, so later records are unknown.
    """

    environment: str
    platform: str
    deployment: str
    recorded: int = 0
    tests: int = 0
    missing: int = 0
    in_flight: int = 0
    explained: dict[str, int] = field(default_factory=lambda: dict.fromkeys(EXPLANATIONS, 0))
    instances: int = 0
    open_instances: int = 0


@dataclass(frozen=True, slots=True)
class Ledger:
    """The counts of all deployments, those with missing records first.

    `hidden_reason` is set if the current role can't read the ledger entries.
    """

    deployments: tuple[DeploymentCounts, ...]
    hidden_reason: str | None = None

    @property
    def recorded(self) -> int:
        return sum(counts.recorded for counts in self.deployments)

    @property
    def tests(self) -> int:
        return sum(counts.tests for counts in self.deployments)

    @property
    def missing(self) -> int:
        return sum(counts.missing for counts in self.deployments)

    @property
    def in_flight(self) -> int:
        return sum(counts.in_flight for counts in self.deployments)

    @property
    def waiting(self) -> int:
        return sum(counts.explained["waiting"] for counts in self.deployments)

    @property
    def open_instances(self) -> int:
        return sum(counts.open_instances for counts in self.deployments)


def ledger(reader: Reader, filters: Filters) -> Ledger:
    """The loss ledger of all processes that recorded in the range. Raises `DatabaseError`."""
    instances = reader.rows("ledger_gaps", {"start": filters.start, "end": filters.end})
    entries, hidden_reason = _entries(reader, [instance["instance_id"] for instance in instances])
    with_gaps = [instance["instance_id"] for instance in instances if _gaps(instance, entries[instance["instance_id"]])]
    outside = _rows_outside_range(reader, with_gaps, filters)
    by_deployment: dict[tuple[str, str, str], DeploymentCounts] = {}
    for instance in instances:
        environment, platform, deployment = (
            str(instance[name] or "unknown") for name in ("environment", "platform", "deployment")
        )
        key = environment, platform, deployment
        counts = by_deployment.setdefault(key, DeploymentCounts(*key))
        _add_instance(counts, instance, entries[instance["instance_id"]], outside[instance["instance_id"]])
    ranked = sorted(by_deployment.values(), key=lambda counts: (-counts.missing, -counts.recorded))
    return Ledger(tuple(ranked), hidden_reason)


def _entries(reader: Reader, instance_ids: Sequence[str]) -> tuple[Mapping[str, list[dict[str, Any]]], str | None]:
    entries: dict[str, list[dict[str, Any]]] = defaultdict(list)
    try:
        for entry in reader.rows("ledger_entries", {"instances": list(instance_ids)}):
            entries[entry["instance_id"]].append(entry)
    except SetupError as error:
        return entries, (Message("reports.loss_explanations_hidden", sentence=error.sentence))
    return entries, None


def _rows_outside_range(
    reader: Reader, instance_ids: Sequence[str], filters: Filters
) -> Mapping[str, list[NumberRange]]:
    """The numbers that have a row outside of the range, by instance. Runs no query without instances."""
    ranges: dict[str, list[NumberRange]] = defaultdict(list)
    if instance_ids:
        parameters = {"instances": list(instance_ids), "start": filters.start, "end": filters.end}
        for row in reader.rows("ledger_rows_outside_range", parameters):
            ranges[row["instance_id"]].append((row["sequence"], row["sequence"]))
    return ranges


def _last_closed(entries: Iterable[Mapping[str, Any]]) -> int:
    """The last number that the process reported when it ended; 0 if it did not."""
    return max((int(entry["last_sequence"]) for entry in entries if entry["kind"] == "closed"), default=0)


def _gaps(instance: Mapping[str, Any], entries: Sequence[Mapping[str, Any]]) -> list[tuple[int, int, float]]:
    """The first and last number of each gap, and its age: the seconds since a later record arrived."""
    gaps = instance["gaps"]
    gaps = json.loads(gaps) if isinstance(gaps, str) else gaps
    ranges = [(first, last, float(age_s)) for first, last, age_s in gaps]
    last = _last_closed(entries)
    if last > instance["last_sequence"]:
        ranges.append((instance["last_sequence"] + 1, last, MAX_DEADLINE_S))
    return ranges


def _add_instance(
    counts: DeploymentCounts,
    instance: Mapping[str, Any],
    entries: Sequence[Mapping[str, Any]],
    outside: Sequence[NumberRange],
) -> None:
    last_closed = _last_closed(entries)
    counts.recorded += instance["recorded"]
    counts.tests += instance["tests"]
    counts.instances += 1
    counts.open_instances += last_closed < instance["last_sequence"]
    for first, last, age_s in _gaps(instance, entries):
        unexplained = subtract_ranges([(first, last)], outside)
        for kind in EXPLANATIONS:
            ranges = [(e["first_sequence"], e["last_sequence"]) for e in entries if e["kind"] == kind]
            remaining = subtract_ranges(unexplained, ranges)
            counts.explained[kind] += count_numbers(unexplained) - count_numbers(remaining)
            unexplained = remaining
        if age_s >= MAX_DEADLINE_S or last <= last_closed:
            counts.missing += count_numbers(unexplained)
        else:
            counts.in_flight += count_numbers(unexplained)


def count_numbers(ranges: Iterable[NumberRange]) -> int:
    """The number of numbers in these ranges."""
    return sum(last - first + 1 for first, last in ranges)


def subtract_ranges(ranges: Iterable[NumberRange], removed: Iterable[NumberRange]) -> list[NumberRange]:
    """The ranges without the removed numbers.

    >>> subtract_ranges([(1, 10)], [(3, 4), (9, 20)])
    [(1, 2), (5, 8)]
    """
    remaining = list(ranges)
    for low, high in sorted(removed):
        parts: list[NumberRange] = []
        for first, last in remaining:
            if high < first or low > last:
                parts.append((first, last))
                continue
            parts += [part for part in ((first, low - 1), (high + 1, last)) if part[0] <= part[1]]
        remaining = parts
    return remaining
