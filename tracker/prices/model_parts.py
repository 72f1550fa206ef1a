"""Reads the usage of each model in `metadata.usage.parts`, for a row of a response of several models."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tracker.prices.price_coverage import is_count, known_units
from tracker.prices.service_tiers import PRICE_DETAILS
from tracker.prices.unpriced_reasons import Unpriced, unpriced
from tracker.usage import TOKEN_COLUMNS

_MAX_PARTS = 100


@dataclass(frozen=True, slots=True)
class ModelPart:
    """The usage of one model of a row: the token columns, and the details that prices need."""

    provider: str
    model: str
    counts: Mapping[str, int]
    details: Mapping[str, Any]


def read_parts(
    details: Mapping[str, Any], provider: str, model: str, counts: Mapping[str, int]
) -> list[ModelPart] | Unpriced:
    """The parts of a row, which must add up to its tokens. A tier of the row applies to each part without its own."""
    entries = details["parts"]
    if not isinstance(entries, list) or not 0 < len(entries) <= _MAX_PARTS:
        return unpriced("parts_invalid")
    row_details = {name: details[name] for name in PRICE_DETAILS if details.get(name) is not None}
    parts = [_read_part(entry, provider, row_details) for entry in entries]
    valid = [part for part in parts if part is not None]
    if any(part is None for part in parts) and (invalid := _invalid_detail(entries)) is not None:
        return unpriced("detail_invalid", invalid)
    if len(valid) < len(parts) or any(
        sum(part.counts[name] for part in valid) != counts[name] for name in ("input_tokens", "output_tokens")
    ):
        return unpriced("parts_invalid")
    return _with_common_units(valid, details, model)


def _invalid_detail(entries: list[object]) -> str | None:
    """The first detail of a part that is not a count."""
    for entry in entries:
        details = entry.get("details") if isinstance(entry, Mapping) else None
        for name, value in details.items() if isinstance(details, Mapping) else ():
            if name in known_units() and value is not None and not is_count(value):
                return str(name)
    return None


def _read_part(entry: object, provider: str, row_details: Mapping[str, Any]) -> ModelPart | None:
    if not isinstance(entry, Mapping) or not isinstance(entry.get("model"), str):
        return None
    given, details = entry.get("counts", entry), entry.get("details") or {}
    if not isinstance(given, Mapping) or not isinstance(details, Mapping) or details.get("parts") is not None:
        return None
    counts = {name: given.get(name) or 0 for name in TOKEN_COLUMNS}
    if any(type(count) is not int or count < 0 for count in counts.values()):
        return None
    if any(name in known_units() and value is not None and not is_count(value) for name, value in details.items()):
        return None
    own = entry.get("provider")
    return ModelPart(own if isinstance(own, str) else provider, entry["model"], counts, {**row_details, **details})


def _with_common_units(parts: list[ModelPart], details: Mapping[str, Any], model: str) -> list[ModelPart] | Unpriced:
    """Add units that only the row records, such as web searches, to the part of the row's model."""
    common: dict[str, Any] = {}
    for name in known_units() & set(details):
        rest = (details[name] or 0) - sum(part.details.get(name) or 0 for part in parts)
        if rest < 0:
            return unpriced("parts_invalid")
        if rest:
            common[name] = rest
    main = next((index for index, part in enumerate(parts) if part.model == model), 0)
    part = parts[main]
    added = {name: (part.details.get(name) or 0) + rest for name, rest in common.items()}
    parts[main] = ModelPart(part.provider, part.model, part.counts, {**part.details, **added})
    return parts
