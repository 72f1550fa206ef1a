"""The price of added-up calls of one shape at a model, exactly as if each call were priced by the catalog."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from tracker.prices.price_catalog import PriceCatalog
from tracker.prices.price_shapes import Amounts, CallShape, whole_usage
from tracker.prices.unpriced_reasons import Unpriced


@dataclass(frozen=True, slots=True)
class _ShapeRates:
    """USD for each call and for one of each component."""

    per_call: Decimal
    per_unit: Mapping[str, Decimal]


class ShapePrices:
    """Prices of shapes at one time, each read once from the catalog. Not thread-safe."""

    def __init__(self, catalog: PriceCatalog, at: datetime) -> None:
        self._catalog = catalog
        self._at = at
        self._rates: dict[tuple[str, str, CallShape], _ShapeRates | Unpriced] = {}

    def cost(
        self, provider: str, model: str, shape: CallShape, amounts: Mapping[str, int], calls: int
    ) -> Decimal | Unpriced:
        """The cost of this number of calls, whose amounts are added up, or the reason why none of them has a price."""
        key = provider, model, shape
        rates = self._rates.get(key)
        if rates is None:
            rates = self._rates[key] = self._read_rates(provider, model, shape)
        if isinstance(rates, Unpriced):
            return rates
        return rates.per_call * calls + sum(
            (rates.per_unit[name] * amount for name, amount in amounts.items()), Decimal(0)
        )

    def _read_rates(self, provider: str, model: str, shape: CallShape) -> _ShapeRates | Unpriced:
        sample = shape.sample()
        base = self._price(provider, model, shape, sample)
        if isinstance(base, Unpriced):
            return base
        per_unit: dict[str, Decimal] = {}
        for name in sample:
            more = self._price(provider, model, shape, {**sample, name: sample[name] + 1})
            if isinstance(more, Unpriced):
                return more
            per_unit[name] = more - base
        fixed = base - sum((per_unit[name] * amount for name, amount in sample.items()), Decimal(0))
        return _ShapeRates(fixed, per_unit)

    def _price(self, provider: str, model: str, shape: CallShape, amounts: Amounts) -> Decimal | Unpriced:
        counts, units = whole_usage(amounts)
        details = {**json.loads(shape.details), **units}
        price = self._catalog.price(provider, model, self._at, counts, details, failed=shape.failed)
        return price if isinstance(price, Unpriced) else price.cost
