"""Estimates what the providers' prompt caches save: the cost without a cache minus the cost with it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from functools import lru_cache
from zoneinfo import ZoneInfo

from tracker.prices.price_catalog import PriceCatalog
from tracker.prices.price_coverage import COUNT_UNITS
from tracker.prices.unpriced_reasons import Unpriced
from tracker.reports.engine.query_rollups import query_rollups
from tracker.reports.engine.reader import Reader
from tracker.reports.filters import Filters

_SAMPLE_TOKENS = 1000
"""Prices are read for this number of tokens, far below the prompt length from which a model costs more."""


@dataclass(frozen=True, slots=True)
class CacheSavings:
    """The savings in USD; negative if cache writes cost more than cache reads save. Excludes `unpriced_tokens`."""

    usd: Decimal
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
    usd, unpriced_tokens = Decimal(0), 0
    frame = frame[(frame["cache_read_input_tokens"] > 0) | (frame["cache_write_input_tokens"] > 0)]
    for row in frame.to_dict("records"):
        read, write = int(row["cache_read_input_tokens"]), int(row["cache_write_input_tokens"])
        at = row["bucket"].to_pydatetime().replace(tzinfo=zone)
        rates = _rates(catalog, row["provider"] or "", row["model"] or "", at) if catalog else None
        if rates is None:
            unpriced_tokens += read + write
        else:
            usd += rates.read_saving * read - rates.write_extra * write
    read_tokens, write_tokens = (int(frame[f"cache_{kind}_input_tokens"].sum()) for kind in ("read", "write"))
    return CacheSavings(usd, read_tokens, write_tokens, unpriced_tokens)


@lru_cache(maxsize=4096)
def _rates(catalog: PriceCatalog, provider: str, model: str, at: datetime) -> _Rates | None:
    """The rates of a model at a time; None if it has no known price."""
    costs: list[Decimal] = []
    for cached_as in (None, "cache_read_input_tokens", "cache_write_input_tokens"):
        counts = dict.fromkeys(COUNT_UNITS, 0) | {"input_tokens": _SAMPLE_TOKENS}
        if cached_as:
            counts[cached_as] = _SAMPLE_TOKENS
        price = catalog.price(provider, model, at, counts)
        if isinstance(price, Unpriced):
            return None
        costs.append(price.cost / _SAMPLE_TOKENS)
    plain, read, write = costs
    return _Rates(plain - read, write - plain)
