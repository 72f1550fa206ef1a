"""Calculates a call's cost, or the reason why it has none: custom prices first, then genai-prices at the call's date.

genai-prices also returns a price for unknown tiers and units, which it ignores. A price counts only after
`service_tiers` and `price_coverage` have checked that the list covers every recorded detail.
"""

from __future__ import annotations

import itertools
import re
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from tracker.errors import SettingError
from tracker.messages import Message
from tracker.prices import model_parts, price_coverage, service_tiers
from tracker.prices.custom_prices import FILE_SOURCE, CustomPrice
from tracker.prices.sellers import MAKERS, find_seller
from tracker.prices.unpriced_reasons import Unpriced, unpriced
from tracker.providers.model_names import is_local

# Models that search the web in each call, for a fee by search. Sources: developers.openai.com, pricing, web search;
# docs.perplexity.ai, pricing.
_SEARCH_MODEL = re.compile(r"-search-(preview|api)|\bsonar-deep-research")
_MAX_CACHED = 2000
_generations = itertools.count(1)
_NO_DETAILS: Mapping[str, Any] = {}


@dataclass(frozen=True, slots=True)
class Price:
    """A call's cost in USD, exact, and where its price comes from."""

    cost: Decimal
    source: str


class PriceCatalog:
    """Calculates prices. Needs `token-usage-tracker[prices]`; importing the list takes 250 ms, one price 0.1 ms."""

    def __init__(self, own: Sequence[CustomPrice] = ()) -> None:
        """Raises `SettingError` if genai-prices isn't installed."""
        try:
            import genai_prices
            from genai_prices.data_snapshot import get_snapshot
        except ImportError:
            raise SettingError(Message("prices.library_missing")) from None
        self._library = genai_prices
        self._snapshot = get_snapshot()
        self.custom_prices = tuple(own)
        """The custom prices in the order in which they are tried."""
        self._listings: dict[tuple[str, str], tuple[Any, Any] | Unpriced] = {}
        self.generation = next(_generations)
        """A number for cache keys that no other catalog of this process has."""
        self.rates: dict[tuple[str, str, datetime], Any] = {}
        """The cache of `model_rates`."""
        self.source = f"genai-prices {genai_prices.__version__}"

    def price(
        self,
        provider: str,
        model: str,
        at: datetime,
        counts: Mapping[str, int],
        details: Mapping[str, Any] | None = None,
        *,
        calls: int = 1,
        failed: bool = False,
    ) -> Price | Unpriced:
        """The price of a call that ended at `at` (aware), or the reason why it has none.

        `counts` are the table's token columns, `details` what `metadata.usage` contains. `calls` is above 1 for a row
        that is the sum of a batch. A failed call without usage costs 0.
        """
        details = details or _NO_DETAILS
        used = {unit: counts[name] for name, unit in price_coverage.COUNT_UNITS.items() if counts[name]}
        recorded = price_coverage.read_units(details, service_tiers.PRICE_DETAILS)
        if isinstance(recorded, Unpriced):
            return recorded
        if details.get("parts") is None:
            return self._price(provider, model, at, used, recorded, details, calls, failed)
        parts = model_parts.read_parts(details, provider, model, counts)
        if isinstance(parts, Unpriced):
            return parts
        return self._sum_parts(parts, at, calls)

    def units(self, provider: str, model: str, at: datetime) -> frozenset[str] | Unpriced:
        """The units with a price at a time; input and output for a price in USD; the reason if the model is unknown."""
        for own in self.custom_prices:
            if own.applies(provider, model, at):
                if own.same_as is None:
                    return frozenset({"input_tokens", "output_tokens"})
                provider, model = own.same_provider or "", own.same_as
                break
        listing = self._find_listing(provider, model)
        if isinstance(listing, Unpriced):
            return listing
        return frozenset(price_coverage.priced_units(listing[1].get_prices(at, None)))

    def _sum_parts(self, parts: Sequence[model_parts.ModelPart], at: datetime, calls: int) -> Price | Unpriced:
        """The cost of a row of several models: the sum, or the first part without a price."""
        cost, sources = Decimal(0), set()
        for part in parts:
            price = self.price(part.provider, part.model, at, part.counts, part.details, calls=calls)
            if isinstance(price, Unpriced):
                return unpriced("part_not_priced", f"{part.model}: {price.code} {price.detail}".rstrip())
            cost += price.cost
            sources.add(price.source)
        if len(sources) > 1:
            sources = {self.source if self.source in sources else FILE_SOURCE}
        return Price(cost, sources.pop())

    def _price(
        self,
        provider: str,
        model: str,
        at: datetime,
        used: Mapping[str, int],
        recorded: Mapping[str, int | float],
        details: Mapping[str, Any],
        calls: int,
        failed: bool,
    ) -> Price | Unpriced:
        if failed and not used and not recorded:
            return Price(Decimal(0), self.source)
        tier = service_tiers.tier_of(provider, details)
        for own in self.custom_prices:
            # A renamed model has the tiers of the other model; a price in USD is for one tier.
            if own.applies(provider, model, at) and (own.tier == tier or (own.same_as and not own.tier)):
                if own.same_as is None:
                    return _custom_price(own, used, recorded)
                provider, model = own.same_provider or "", own.same_as
                break
        listing = self._find_listing(provider, model)
        if isinstance(listing, Unpriced):
            return listing
        seller, listed = listing
        context = service_tiers.price_context(seller.id, details)
        if isinstance(context, Unpriced):
            return context
        if reason := service_tiers.check_variant(listed, seller, at, context):
            return reason
        if _SEARCH_MODEL.search(model) and "web_searches" not in recorded:
            return unpriced("unit_missing", "web_searches")
        return self._list_price(seller, listed, at, {**used, **recorded}, context, calls)

    def _list_price(
        self, seller: Any, listed: Any, at: datetime, used: Mapping[str, int | float], context: Any, calls: int
    ) -> Price | Unpriced:
        priced = price_coverage.priced_units(listed.get_prices(at, context or None))
        reason = (
            price_coverage.check_units(used, priced, seller.id)
            or (used and price_coverage.check_unit_prices(used, priced, seller.id))
            or price_coverage.check_batch(used, priced, calls, seller.id)
        )
        if reason:
            return reason
        try:
            calculation = listed.calc_price(
                self._library.Usage(**{"input_tokens": 0, "output_tokens": 0, **used}),
                seller,
                genai_request_timestamp=at,
                price_context=context or None,
            )
        except (ValueError, TypeError, ArithmeticError) as error:
            return unpriced("details_incomplete" if str(error).startswith("Missing usage") else "details_contradict")
        total = calculation.total_price
        if not used or not total:
            reason = price_coverage.check_billed(used, priced)
        return reason or Price(total, self.source)

    def _find_listing(self, provider: str, model: str) -> tuple[Any, Any] | Unpriced:
        """genai-prices' provider and model, cached: an unlisted model requires a search of all lists."""
        key = provider, model
        listing = self._listings.get(key)
        if listing is None:
            if len(self._listings) >= _MAX_CACHED:
                self._listings.clear()
            listing = self._listings[key] = self._search_listings(provider, model)
        return listing

    def _search_listings(self, provider: str, model: str) -> tuple[Any, Any] | Unpriced:
        name = model.removeprefix("models/")
        if is_local(name) and (not provider or provider in MAKERS):
            return unpriced("model_unknown")  # a local model has no seller, not even its maker
        if not provider:
            return find_seller(self._snapshot.providers, name)
        try:
            return self._snapshot.find_provider_model(name, None, provider, None)
        except LookupError:
            return unpriced("model_unknown")


def _custom_price(own: CustomPrice, used: Mapping[str, int], recorded: Mapping[str, int | float]) -> Price | Unpriced:
    """A custom price covers tokens of every kind; other units have none."""
    for unit in recorded:
        if not unit.endswith("_tokens"):
            return unpriced("detail_not_priced", unit)
    if not used:
        return unpriced("usage_missing")
    counts = {name: used.get(unit, 0) for name, unit in price_coverage.COUNT_UNITS.items()}
    return Price(own.cost(counts), own.source)


_lock = threading.Lock()
_latest: tuple[tuple[CustomPrice, ...], PriceCatalog] | None = None


def catalog_for(own: tuple[CustomPrice, ...]) -> PriceCatalog:
    """The catalog of these custom prices; the same one as long as they do not change. Raises `SettingError`."""
    global _latest
    with _lock:
        if _latest is None or _latest[0] != own:
            _latest = own, PriceCatalog(own)
        return _latest[1]
