"""What a call cost: by one's own prices first, then by genai-prices' list, each at the call's own date."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from tracker.errors import SettingError
from tracker.prices.own import OwnPrice

OWN = "own prices"
# Our names and what others call the same, where genai-prices knows it by neither.
_CONTEXTS = {"batch": {"processing": "batch"}, "batches": {"processing": "batch"}}


@dataclass(frozen=True, slots=True)
class Price:
    """A call's cost in USD, exact, and where its price comes from."""

    cost: Decimal
    source: str


class PriceBook:
    """Finds prices. Needs `token-tracker[prices]`; importing its list takes a quarter of a second, one price 0.1 ms."""

    def __init__(self, own: Sequence[OwnPrice] = ()) -> None:
        """Raises `SettingError` where genai-prices isn't installed."""
        try:
            import genai_prices
        except ImportError:
            raise SettingError("Prices need genai-prices: pip install genai-prices.") from None
        self._library = genai_prices
        self._own = tuple(own)
        self.source = f"genai-prices {genai_prices.__version__}"

    def price(
        self,
        provider: str,
        model: str,
        moment: datetime,
        counts: Mapping[str, int],
        details: Mapping[str, Any] | None = None,
    ) -> Price | None:
        """The price of a call that ended at `moment` (aware); None when nobody knows it, which is not 0.

        `counts` are the table's token columns, `details` what `metadata.usage` holds for prices.
        """
        for own in self._own:
            if own.fits(provider, model, moment):
                if own.same_as is None:
                    return Price(own.cost(counts), OWN)
                provider, model = own.same_provider or "", own.same_as
                break
        cost = self._listed(provider, model, moment, counts, details or {})
        return None if cost is None else Price(cost, self.source)

    def _listed(
        self, provider: str, model: str, moment: datetime, counts: Mapping[str, int], details: Mapping[str, Any]
    ) -> Decimal | None:
        name = model.removeprefix("models/")
        tier = details.get("service_tier")
        context = _CONTEXTS.get(tier, {"service_tier": tier}) if isinstance(tier, str) else None
        for detailed in (details, {}):
            try:
                calculation = self._library.calc_price(
                    self._usage(counts, detailed),
                    name,
                    provider_id=provider or None,
                    genai_request_timestamp=moment,
                    price_context=context,
                )
            except LookupError:
                return None
            except (ValueError, TypeError, ArithmeticError):
                continue  # the details contradict the counts: price the counts alone
            return calculation.total_price
        return None

    def _usage(self, counts: Mapping[str, int], details: Mapping[str, Any]) -> Any:
        known = {name: value for name, value in details.items() if name in _DETAILS and _is_count(value)}
        return self._library.Usage(
            input_tokens=counts["input_tokens"],
            output_tokens=counts["output_tokens"],
            cache_read_tokens=counts["cache_read_input_tokens"],
            cache_write_tokens=counts["cache_write_input_tokens"],
            output_reasoning_tokens=counts["reasoning_output_tokens"],
            **known,
        )


# The details that shapes.py reads; an app's own metadata.usage may hold anything.
_DETAILS = frozenset(
    {
        "audio_seconds",
        "cache_audio_read_tokens",
        "cache_write_1h_tokens",
        "input_audio_tokens",
        "input_image_tokens",
        "input_video_tokens",
        "output_audio_tokens",
        "output_citation_tokens",
        "output_image_tokens",
        "web_searches",
    }
)


def _is_count(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and value >= 0
