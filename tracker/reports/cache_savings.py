"""Estimates what the providers' prompt caches save: the cost without a cache minus the cost with it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from zoneinfo import ZoneInfo

from tracker.prices.currency_rates import rate_on
from tracker.prices.model_rates import model_rates
from tracker.prices.price_catalog import PriceCatalog
from tracker.prices.unpriced_reasons import Unpriced
from tracker.reports.engine.query_rollups import query_rollups
from tracker.reports.engine.reader import Reader
from tracker.reports.filters import Filters

_MILLION = 1_000_000


@dataclass(frozen=True, slots=True)
class CacheSavings:
    """The savings in USD; negative if cache writes cost more than cache reads save. Excludes `unpriced_tokens`."""

    usd: Decimal
    local: Decimal
    """The savings in the currency of the filters, each bucket at the rate of its first day."""
    read_tokens: int
    write_tokens: int
    unpriced_tokens: int


@dataclass(frozen=True, slots=True)
class _Rates:
    """USD per token: saved by a cache read, and extra cost of a cache write."""

    read_saving: Decimal
    write_extra: Decimal


def cache_savings(reader: Reader, filters: Filters, catalog: PriceCatalog | None) -> CacheSavings:
    """The savings of the range, at list prices of each time bucket. Without a catalog all tokens are unpriced."""
    frame = query_rollups(reader, "usage", filters, by=("step", "provider", "model"))
    zone = ZoneInfo(filters.timezone)
    usd, local, unpriced_tokens = Decimal(0), Decimal(0), 0
    frame = frame[(frame["cache_read_input_tokens"] > 0) | (frame["cache_write_input_tokens"] > 0)]
    for row in frame.to_dict("records"):
        read, write = int(row["cache_read_input_tokens"]), int(row["cache_write_input_tokens"])
        at = row["bucket"].to_pydatetime().replace(tzinfo=zone)
        rates = _rates(catalog, row["provider"] or "", row["model"] or "", at) if catalog else None
        if rates is None:
            unpriced_tokens += read + write
        else:
            saving = rates.read_saving * read - rates.write_extra * write
            usd += saving
            local += saving * rate_on(filters.rates, at.date())
    read_tokens, write_tokens = (int(frame[f"cache_{kind}_input_tokens"].sum()) for kind in ("read", "write"))
    return CacheSavings(usd, local, read_tokens, write_tokens, unpriced_tokens)


def _rates(catalog: PriceCatalog, provider: str, model: str, at: datetime) -> _Rates | None:
    """The rates of a model at a time; None if it has no known price."""
    rates = model_rates(catalog, provider, model, at)
    if isinstance(rates, Unpriced) or rates.input is None or rates.cache_read is None or rates.cache_write is None:
        return None
    return _Rates((rates.input - rates.cache_read) / _MILLION, (rates.cache_write - rates.input) / _MILLION)
