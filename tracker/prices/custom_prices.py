"""Custom prices: of own, renamed and negotiated models, from a TOML file or from the database. See docs/prices.md."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from decimal import Decimal
from pathlib import Path
from typing import Any

from tracker.errors import SettingError
from tracker.messages import Message
from tracker.small_files import parse_toml, read_text

FILE_SOURCE = "own prices"
"""The `cost_source` of a price of the TOML file."""
STORED_SOURCE = "dashboard prices"
"""The `cost_source` of a price that was set on the dashboard's page. The SQL files and docs/prices.md repeat both."""
RATES = ("input", "output", "cache_read", "cache_write", "reasoning")
ALWAYS = datetime.min.replace(tzinfo=UTC)
"""The start of a price without a first day."""
MAX_RATE_USD = 10**6
_MAX_DECIMALS = 12
_KEYS = {"model", "provider", "from", "same_as", "same_provider", "service_tier", *RATES}
_MILLION = Decimal(1_000_000)


@dataclass(frozen=True, slots=True)
class CustomPrice:
    """One price: USD per million tokens, or the name of a model with the same price.

    `tier` is a service tier with a separate price; None means the list price. `source` is its `cost_source`.
    """

    model: str
    provider: str | None
    since: datetime
    rates: Mapping[str, Decimal]
    same_as: str | None
    same_provider: str | None
    tier: str | None = None
    source: str = FILE_SOURCE

    def applies(self, provider: str, model: str, at: datetime) -> bool:
        """Whether it is the price of this model at this time; a price's `model` may end in * as a wildcard."""
        return self.matches(model) and self.provider in {None, provider} and at >= self.since

    def matches(self, model: str) -> bool:
        """Whether it is a price of this model, or of all models that this pattern matches."""
        return model.startswith(self.model[:-1]) if self.model.endswith("*") else model == self.model

    @property
    def is_free(self) -> bool:
        """Whether a kind of tokens costs nothing."""
        return any(rate == 0 for rate in self.rates.values())

    def cost(self, counts: Mapping[str, int]) -> Decimal:
        """The exact cost of a call in USD. Tokens without a separate rate cost as much as input or output."""
        read, write = counts["cache_read_input_tokens"], counts["cache_write_input_tokens"]
        reasoning = counts["reasoning_output_tokens"]
        rate = self.rates
        return (
            rate["input"] * (counts["input_tokens"] - read - write)
            + rate.get("cache_read", rate["input"]) * read
            + rate.get("cache_write", rate["input"]) * write
            + rate["output"] * (counts["output_tokens"] - reasoning)
            + rate.get("reasoning", rate["output"]) * reasoning
        ) / _MILLION


def load(path: str | None) -> tuple[CustomPrice, ...]:
    """The file's prices, the most specific and latest first. Raises `SettingError` for an invalid file."""
    if not path:
        return ()
    label = Message("prices.file.label")
    document = parse_toml(read_text(Path(path), label), label, parse_float=Decimal)
    entries = document.get("price", [])
    if not isinstance(entries, list) or set(document) - {"price", "currency"}:
        raise SettingError(Message("prices.file.other_content"))
    return sort_by_precedence(_parse_price(entry, number) for number, entry in enumerate(entries, 1))


def sort_by_precedence(prices: Iterable[CustomPrice]) -> tuple[CustomPrice, ...]:
    """The prices in the order in which they are tried.

    The longest name is the most specific. Among equal names, the latest day counts, then the price of one provider.
    """

    def rank(price: CustomPrice) -> tuple[bool, int, datetime, bool]:
        return not price.model.endswith("*"), len(price.model), price.since, price.provider is not None

    return tuple(sorted(prices, key=rank)[::-1])


def _parse_price(entry: Any, number: int) -> CustomPrice:
    def invalid(problem: str, **params: object) -> SettingError:
        return SettingError(Message(f"prices.file.{problem}", number=number, **params))

    if not isinstance(entry, dict):
        raise invalid("not_a_table")
    if unknown := sorted(set(entry) - _KEYS):
        raise invalid("unknown_key", key=repr(unknown[0]), keys=", ".join(sorted(_KEYS)))
    for name in ("model", "provider", "same_as", "same_provider", "service_tier"):
        if name in entry and (not isinstance(entry[name], str) or not entry[name].strip()):
            raise invalid("not_text", key=name)
    if "model" not in entry:
        raise invalid("no_model")
    rates = {name: _parse_rate(entry[name], invalid, name) for name in RATES if name in entry}
    if ("same_as" in entry) == bool(rates) or (rates and not {"input", "output"} <= set(rates)):
        raise invalid("rates_missing")
    return CustomPrice(
        model=entry["model"],
        provider=entry.get("provider"),
        since=_parse_day(entry.get("from"), invalid),
        rates=rates,
        same_as=entry.get("same_as"),
        same_provider=entry.get("same_provider"),
        tier=entry.get("service_tier"),
    )


def _parse_rate(value: object, invalid: Any, name: str) -> Decimal:
    if isinstance(value, bool) or not isinstance(value, int | Decimal):
        raise invalid("not_a_number", key=name)
    rate = Decimal(value)
    if not is_valid_rate(rate):
        raise invalid("rate_out_of_range", key=name)
    return rate


def is_valid_rate(rate: Decimal) -> bool:
    """Whether it is an amount of USD per million tokens that a price may have."""
    return rate.is_finite() and 0 <= rate <= MAX_RATE_USD and int(rate.as_tuple().exponent) >= -_MAX_DECIMALS


def _parse_day(value: object, invalid: Any) -> datetime:
    if value is None:
        return ALWAYS
    if isinstance(value, datetime) or not isinstance(value, date):
        raise invalid("not_a_day")
    return datetime.combine(value, time(), UTC)
