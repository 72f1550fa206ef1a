"""The shape of a call: what its price depends on besides its amounts. The price of a shape is linear in its amounts.

Calls of one shape are added up before they are priced. A call whose details may contradict its counts, or whose price
may depend on more than its shape, has none and is priced alone.
"""

from __future__ import annotations

import json
from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from typing import Any

from tracker.prices.price_coverage import COUNT_UNITS, INFORMATIVE, known_units
from tracker.prices.service_tiers import PRICE_DETAILS
from tracker.providers.consistency import MAX_COUNT

Amounts = dict[str, int]
"""Tokens and other units by component: a part of the usage that contains no other component."""
PLAIN_INPUT, PLAIN_OUTPUT, CACHE_READ, CACHE_WRITE, REASONING = COMPONENTS = (
    "input_tokens",
    "output_tokens",
    "cache_read_input_tokens",
    "cache_write_input_tokens",
    "reasoning_output_tokens",
)
"""The components of the table's columns: input and output are those tokens that no other component contains."""
_INPUTS = {PLAIN_INPUT, CACHE_READ, CACHE_WRITE}
MIN_TIER_TOKENS = 64
"""A smaller range of prompt sizes has no shapes: the sample of a shape would leave it."""


@dataclass(frozen=True, slots=True)
class CallShape:
    """The components with an amount, the details without counts (JSON), the prompt size's tier, and whether it failed.

    `tier` is a position in `tier_starts`: the price of a model is the same for all prompt sizes of a tier.
    """

    components: frozenset[str]
    details: str = "{}"
    tier: int = 0
    failed: bool = False

    def sample(self) -> Amounts:
        """The smallest amounts of the shape; one more of each component has the same shape."""
        amounts = dict.fromkeys(sorted(self.components), 1)
        first = min((name for name in amounts if _is_input(name)), default=None)
        if first:
            amounts[first] += (0, *tier_starts())[self.tier]
        return amounts


def _is_input(component: str) -> bool:
    return component in _INPUTS or (component.startswith(("input_", "cache_")) and component.endswith("_tokens"))


def shape_call(
    counts: Mapping[str, int], details: Mapping[str, Any], *, failed: bool
) -> tuple[CallShape, Amounts] | None:
    """The shape and the amounts of a call; None for a call that must be priced alone."""
    divided = divide_details(details)
    if divided is None:
        return None
    words, units = divided
    amounts = {name: counts[name] for name in COMPONENTS}
    for name, amount in units.items():
        if whole := _whole(name):
            amounts[whole] -= amount
    amounts[PLAIN_INPUT] -= amounts[CACHE_READ] + counts[CACHE_WRITE]
    amounts[PLAIN_OUTPUT] -= amounts[REASONING]
    tier = tier_of(counts["input_tokens"])
    if min(amounts.values()) < 0 or tier in narrow_tiers():
        return None
    used = {name: amount for name, amount in (amounts | units).items() if amount}
    return CallShape(frozenset(used), words, tier, failed), used


def divide_details(details: Mapping[str, Any]) -> tuple[str, Amounts] | None:
    """The details without counts, as JSON, and the counts; None if the price depends on more than their sums."""
    words: dict[str, Any] = {}
    units: Amounts = {}
    for name, value in details.items():
        if value is None or (name in INFORMATIVE and name != "parts"):
            continue
        if name in PRICE_DETAILS and isinstance(value, str | bool):
            words[name] = value
        elif _is_separate(name) and type(value) is int and 0 <= value <= MAX_COUNT:
            units[name] = value
        else:
            return None
    return json.dumps(words, sort_keys=True), units


def whole_usage(amounts: Mapping[str, int]) -> tuple[dict[str, int], dict[str, int]]:
    """The table's token columns and the details of amounts."""
    counts = {name: amounts.get(name, 0) for name in COUNT_UNITS}
    details = {name: amount for name, amount in amounts.items() if name not in COUNT_UNITS}
    for name, amount in details.items():
        if whole := _whole(name):
            counts[whole] += amount
    counts[PLAIN_INPUT] += counts[CACHE_READ] + counts[CACHE_WRITE]
    counts[PLAIN_OUTPUT] += counts[REASONING]
    return counts, details


def _is_separate(unit: str) -> bool:
    """Whether a unit is a part of at most one other; tokens of a cached modality are parts of two."""
    if unit not in known_units():
        return False
    return not unit.endswith("_tokens") or _whole(unit) is not None


def _whole(unit: str) -> str | None:
    """The column that contains a unit; None for a unit that is no part of another one, or of several."""
    if not unit.endswith("_tokens") or unit in COUNT_UNITS.values():
        return None
    if unit.startswith("cache_write_"):
        return CACHE_WRITE
    return {"input": PLAIN_INPUT, "output": PLAIN_OUTPUT}.get(unit.partition("_")[0])


@cache
def tier_starts() -> tuple[int, ...]:
    """The prompt sizes above which any model of the price list has another price, in ascending order."""
    from genai_prices.data_snapshot import get_snapshot

    models = (model for provider in get_snapshot().providers for model in provider.models)
    return tuple(sorted({start for model in models for start in _starts(_all_prices(model))}))


def _all_prices(model: Any) -> Iterable[Any]:
    """Every price of a model: of all days, and of all service tiers."""
    for owner in (model, *(model.price_variants or ())):
        entries = owner.prices if isinstance(owner.prices, list) else [owner.prices]
        for entry in entries:
            yield getattr(entry, "prices", entry)


def _starts(prices: Iterable[Any]) -> Iterable[int]:
    for model_price in prices:
        for price in vars(model_price).values():
            yield from (tier.start for tier in getattr(price, "tiers", ()))


def tier_of(input_tokens: int) -> int:
    """The position of the tier of a prompt size: 0 up to the first start."""
    return bisect_left(tier_starts(), input_tokens)


@cache
def narrow_tiers() -> Sequence[int]:
    """The tiers without shapes."""
    edges = pairwise((0, *tier_starts()))
    return [number for number, (low, high) in enumerate(edges) if high - low < MIN_TIER_TOKENS]
