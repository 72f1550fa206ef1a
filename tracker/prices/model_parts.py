"""One row for a response of several models: what each model of `metadata.usage.parts` used."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tracker.prices.price_coverage import COUNT_UNITS, is_count, known_units
from tracker.prices.service_tiers import FACTS
from tracker.prices.unpriced_reasons import Unpriced, unpriced

_MAX_PARTS = 100


@dataclass(frozen=True, slots=True)
class Part:
    """What one model of a row used: the table's token columns, and the details that prices need."""

    provider: str
    model: str
    counts: Mapping[str, int]
    details: Mapping[str, Any]


def read_parts(
    details: Mapping[str, Any], provider: str, model: str, counts: Mapping[str, int]
) -> list[Part] | Unpriced:
    """The parts of a row, which must add up to its tokens. A tier of the row applies to each part without its own."""
    entries = details["parts"]
    if not isinstance(entries, list) or not 0 < len(entries) <= _MAX_PARTS:
        return unpriced("parts_invalid")
    facts = {name: details[name] for name in FACTS if details.get(name) is not None}
    parts = [_part(entry, provider, facts) for entry in entries]
    found = [part for part in parts if part is not None]
    if any(part is None for part in parts) and (invalid := _invalid_detail(entries)) is not None:
        return unpriced("detail_invalid", invalid)
    if len(found) < len(parts) or any(
        sum(part.counts[name] for part in found) != counts[name] for name in ("input_tokens", "output_tokens")
    ):
        return unpriced("parts_invalid")
    return _with_common_units(found, details, model)


def _invalid_detail(entries: list[object]) -> str | None:
    """The first detail of a part that is no count."""
    for entry in entries:
        details = entry.get("details") if isinstance(entry, Mapping) else None
        for name, value in details.items() if isinstance(details, Mapping) else ():
            if name in known_units() and value is not None and not is_count(value):
                return str(name)
    return None


def _part(entry: object, provider: str, facts: Mapping[str, Any]) -> Part | None:
    if not isinstance(entry, Mapping) or not isinstance(entry.get("model"), str):
        return None
    given, details = entry.get("counts", entry), entry.get("details") or {}
    if not isinstance(given, Mapping) or not isinstance(details, Mapping) or details.get("parts") is not None:
        return None
    counts = {name: given.get(name) or 0 for name in COUNT_UNITS}
    if any(type(count) is not int or count < 0 for count in counts.values()):
        return None
    if any(name in known_units() and value is not None and not is_count(value) for name, value in details.items()):
        return None
    own = entry.get("provider")
    return Part(own if isinstance(own, str) else provider, entry["model"], counts, {**facts, **details})


def _with_common_units(found: list[Part], details: Mapping[str, Any], model: str) -> list[Part] | Unpriced:
    """Adds units that only the row records, such as web searches, to the part of the row's model."""
    common: dict[str, Any] = {}
    for name in known_units() & set(details):
        rest = (details[name] or 0) - sum(part.details.get(name) or 0 for part in found)
        if rest < 0:
            return unpriced("parts_invalid")
        if rest:
            common[name] = rest
    main = next((number for number, part in enumerate(found) if part.model == model), 0)
    part = found[main]
    added = {name: (part.details.get(name) or 0) + rest for name, rest in common.items()}
    found[main] = Part(part.provider, part.model, part.counts, {**part.details, **added})
    return found
