"""The rates of a model: what one million tokens of each kind cost, and the source of the price."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from tracker.prices.price_catalog import PriceCatalog
from tracker.prices.price_coverage import COUNT_UNITS
from tracker.prices.unpriced_reasons import Unpriced

_SAMPLE_TOKENS = 1000
"""Prices are read for this number of tokens, far below the prompt length from which a model costs more."""
_MILLION = 1_000_000
_SAMPLES = {
    "input": ("input_tokens",),
    "output": ("output_tokens",),
    "cache_read": ("input_tokens", "cache_read_input_tokens"),
    "cache_write": ("input_tokens", "cache_write_input_tokens"),
    "reasoning": ("output_tokens", "reasoning_output_tokens"),
}
_MAX_CACHED = 4096


@dataclass(frozen=True, slots=True)
class ModelRates:
    """USD per million tokens; None for a kind of tokens without a price. `source` is the `cost_source` of calls."""

    source: str
    input: Decimal | None
    output: Decimal | None
    cache_read: Decimal | None
    cache_write: Decimal | None
    reasoning: Decimal | None


def model_rates(catalog: PriceCatalog, provider: str, model: str, at: datetime) -> ModelRates | Unpriced:
    """The standard rates of a model at a time (aware), or the reason why neither input nor output has a price.

    The catalog caches them, so that its successor after a change of prices does not use them.
    """
    key = provider, model, at
    rates: ModelRates | Unpriced | None = catalog.rates.get(key)
    if rates is None:
        if len(catalog.rates) >= _MAX_CACHED:
            catalog.rates.clear()
        rates = catalog.rates[key] = _read_rates(catalog, provider, model, at)
    return rates


def _read_rates(catalog: PriceCatalog, provider: str, model: str, at: datetime) -> ModelRates | Unpriced:
    rates: dict[str, Decimal | None] = {}
    sources: list[str] = []
    reasons: list[Unpriced] = []
    for kind, columns in _SAMPLES.items():
        price = catalog.price(
            provider, model, at, dict.fromkeys(COUNT_UNITS, 0) | dict.fromkeys(columns, _SAMPLE_TOKENS)
        )
        if isinstance(price, Unpriced):
            rates[kind] = None
            reasons.append(price)
        else:
            rates[kind] = price.cost * _MILLION / _SAMPLE_TOKENS
            sources.append(price.source)
    if rates["input"] is None and rates["output"] is None:
        return reasons[0]
    return ModelRates(sources[0], **rates)
