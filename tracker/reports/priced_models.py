"""The models of a range with their current rates, the source of the price, and the calls without a cost."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from tracker.prices.model_rates import ModelRates, model_rates
from tracker.prices.price_catalog import PriceCatalog
from tracker.prices.unpriced_reasons import Unpriced
from tracker.reports.engine.query_rollups import query_rollups
from tracker.reports.engine.reader import Reader
from tracker.reports.filters import Filters


@dataclass(frozen=True, slots=True)
class PricedModel:
    """A model of a range. `rates` is the reason if it has no price, None if no price list is available."""

    provider: str
    model: str
    calls: int
    total_tokens: int
    cost_usd: Decimal | None
    cost_local: Decimal | None
    unpriced_calls: int
    unpriced_tokens: int
    rates: ModelRates | Unpriced | None

    @property
    def has_price(self) -> bool:
        return isinstance(self.rates, ModelRates)


def priced_models(reader: Reader, filters: Filters, catalog: PriceCatalog | None, at: datetime) -> list[PricedModel]:
    """The models of the range with their rates at a time (aware): first those without a price, then by tokens."""
    frame = query_rollups(reader, "usage", filters, by=("provider", "model"))
    models = []
    for row in frame.to_dict("records"):
        provider, model = (row[name] if isinstance(row[name], str) else "" for name in ("provider", "model"))
        cost, local = (_amount(row[name]) for name in ("cost_usd", "cost_local"))
        models.append(
            PricedModel(
                provider=provider,
                model=model,
                calls=int(row["calls"]),
                total_tokens=int(row["total_tokens"]),
                cost_usd=cost,
                cost_local=local,
                unpriced_calls=int(row["unpriced_calls"]),
                unpriced_tokens=int(row["unpriced_tokens"]),
                rates=model_rates(catalog, provider, model, at) if catalog else None,
            )
        )

    def rank(entry: PricedModel) -> tuple[bool, int, int, str]:
        return entry.has_price, -entry.unpriced_tokens, -entry.total_tokens, entry.model

    return sorted(models, key=rank)


def _amount(value: object) -> Decimal | None:
    """A sum of a frame; None if it is unknown, which pandas reads as NaN."""
    return value if isinstance(value, Decimal) and value.is_finite() else None
