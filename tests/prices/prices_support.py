"""Shared by the tests of prices and unpriced reasons: the price and the cost of a call at the price list."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from tracker.messages.prices_texts import TEXTS
from tracker.prices.price_catalog import Price, PriceCatalog
from tracker.prices.unpriced_reasons import Unpriced

DAY = datetime(2026, 11, 1, tzinfo=UTC)
BOOK = PriceCatalog()
NAMES = {
    "input_tokens": "input_tokens",
    "output_tokens": "output_tokens",
    "cache_read_input_tokens": "cache_read_tokens",
    "cache_write_input_tokens": "cache_write_tokens",
    "reasoning_output_tokens": "output_reasoning_tokens",
}

REASON_CODES = {name.removeprefix("unpriced.") for name in TEXTS if name.startswith("unpriced.")} - {"other"}


def counts(input_tokens: int = 0, output_tokens: int = 0, read: int = 0, write: int = 0, reasoning: int = 0) -> Any:
    return dict(zip(NAMES, (input_tokens, output_tokens, read, write, reasoning), strict=True))


def price(provider: str, model: str, details: Any = None, moment: datetime = DAY, **given: Any) -> Price | Unpriced:
    options = {name: given.pop(name) for name in ("calls", "failed") if name in given}
    return BOOK.price(provider, model, moment, counts(**given), details, **options)


def cost(*arguments: Any, **given: Any) -> Decimal:
    result = price(*arguments, **given)
    assert isinstance(result, Price), result
    return result.cost
