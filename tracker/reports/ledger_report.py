"""The loss ledger: is any record missing, and if not, what explains the numbers without a row?

A number is *missing* only when nothing explains it and its turn is surely over: its process has ended, or a later
record of it arrived longer ago than any deadline. What may still be on its way is never called lost.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tracker.errors import SetupError
from tracker.reports.engine.reader import Reader
from tracker.reports.filters import Filters

# The longest deadline that TRACKER_DEADLINE_S allows: an attempt may go on for so long.
SETTLED_S = 900.0
EXPLANATIONS = ("duplicate", "set_aside", "removed", "pruned", "waiting")
Range = tuple[int, int]


@dataclass(slots=True)
class Tally:
    """One deployment's numbers; `open_instances` never said their last number, so that their tail isn't known."""

    environment: str
    platform: str
    deployment: str
    recorded: int = 0
    missing: int = 0
    on_the_way: int = 0
    explained: dict[str, int] = field(default_factory=lambda: dict.fromkeys(EXPLANATIONS, 0))
    instances: int = 0
    open_instances: int = 0


@dataclass(frozen=True, slots=True)
class Ledger:
    """All deployments, those with missing records first; `hidden` says what this role may not see."""

    tallies: tuple[Tally, ...]
    hidden: str | None = None

    @property
    def recorded(self) -> int:
        return sum(tally.recorded for tally in self.tallies)

    @property
    def missing(self) -> int:
        return sum(tally.missing for tally in self.tallies)

    @property
    def on_the_way(self) -> int:
        return sum(tally.on_the_way for tally in self.tallies)

    @property
    def waiting(self) -> int:
        return sum(tally.explained["waiting"] for tally in self.tallies)

    @property
    def open_instances(self) -> int:
        return sum(tally.open_instances for tally in self.tallies)


def ledger(reader: Reader, filters: Filters) -> Ledger:
    """The numbers of every process that recorded in the range. Raises `DatabaseError`."""
    instances = reader.rows("ledger_gaps", {"start": filters.start, "end": filters.end})
    names = [instance["instance_id"] for instance in instances]
    entries, hidden = _entries(reader, names)
    suspects = [instance["instance_id"] for instance in instances if _gaps(instance, entries)]
    elsewhere = _elsewhere(reader, suspects, filters)
    tallies: dict[tuple[str, str, str], Tally] = {}
    for instance in instances:
        place = (_known(instance["environment"]), _known(instance["platform"]), _known(instance["deployment"]))
        tally = tallies.setdefault(place, Tally(*place))
        _count(tally, instance, entries[instance["instance_id"]], elsewhere[instance["instance_id"]])
    ranked = sorted(tallies.values(), key=lambda tally: (-tally.missing, -tally.recorded))
    return Ledger(tuple(ranked), hidden)


def _known(text: object) -> str:
    return str(text or "unknown")


def _entries(reader: Reader, names: Sequence[str]) -> tuple[Mapping[str, list[dict[str, Any]]], str | None]:
    found: dict[str, list[dict[str, Any]]] = defaultdict(list)
    try:
        for entry in reader.rows("ledger_entries", {"instances": list(names)}):
            found[entry["instance_id"]].append(entry)
    except SetupError as error:
        return found, (
            f"What explains a missing number is hidden. {error.sentence}"
            " GRANT SELECT ON token_tracker_ledger TO this role, or: token-tracker migrate."
        )
    return found, None


def _elsewhere(reader: Reader, names: Sequence[str], filters: Filters) -> Mapping[str, list[Range]]:
    """Numbers with a row outside of the range; looked for only where something seems to be missing."""
    found: dict[str, list[Range]] = defaultdict(list)
    if names:
        given = {"instances": list(names), "start": filters.start, "end": filters.end}
        for row in reader.rows("ledger_found", given):
            found[row["instance_id"]].append((row["sequence"], row["sequence"]))
    return found


def _gaps(instance: Mapping[str, Any], entries: Mapping[str, list[dict[str, Any]]]) -> list[tuple[int, int, float]]:
    """Ranges of numbers without a row, each with the seconds since it should have had one."""
    gaps = instance["gaps"]
    found = [(first, last, float(age)) for first, last, age in (json.loads(gaps) if isinstance(gaps, str) else gaps)]
    closed = [entry for entry in entries[instance["instance_id"]] if entry["kind"] == "closed"]
    last = max((entry["last_sequence"] for entry in closed), default=0)
    if last > instance["last_sequence"]:
        found.append((instance["last_sequence"] + 1, last, SETTLED_S))
    return found


def _count(tally: Tally, instance: Mapping[str, Any], entries: list[dict[str, Any]], elsewhere: list[Range]) -> None:
    gaps = _gaps(instance, {instance["instance_id"]: entries})
    closed = max((entry["last_sequence"] for entry in entries if entry["kind"] == "closed"), default=0)
    tally.recorded += instance["recorded"]
    tally.instances += 1
    tally.open_instances += closed < instance["last_sequence"]
    for first, last, age_s in gaps:
        left = without([(first, last)], elsewhere)
        for kind in EXPLANATIONS:
            ranges = [(e["first_sequence"], e["last_sequence"]) for e in entries if e["kind"] == kind]
            remaining = without(left, ranges)
            tally.explained[kind] += size(left) - size(remaining)
            left = remaining
        if age_s >= SETTLED_S or last <= closed:
            tally.missing += size(left)
        else:
            tally.on_the_way += size(left)


def size(ranges: Iterable[Range]) -> int:
    """How many numbers these ranges hold."""
    return sum(last - first + 1 for first, last in ranges)


def without(ranges: Iterable[Range], taken: Iterable[Range]) -> list[Range]:
    """What is left of ranges of numbers.

    >>> without([(1, 10)], [(3, 4), (9, 20)])
    [(1, 2), (5, 8)]
    """
    left = list(ranges)
    for low, high in sorted(taken):
        parts: list[Range] = []
        for first, last in left:
            if high < first or low > last:
                parts.append((first, last))
                continue
            parts += [part for part in ((first, low - 1), (high + 1, last)) if part[0] <= part[1]]
        left = parts
    return left
