"""The cost in USD that a provider states in its own response."""

from __future__ import annotations

import re
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from tracker.providers.node_access import get

_MAX_COST_USD = 10**6
_AMOUNT = re.compile(r"\d{1,20}(\.\d{1,30})?([eE][+-]?\d{1,2})?", re.ASCII)
# Without one of these, a response states no cost.
_KEYS = frozenset({"cost", "estimated_cost", "cost_in_usd_ticks"})
_TICKS_PER_USD = 10**10  # xAI, docs.x.ai/developers/cost-tracking

Cost = Decimal | float | int


# The providers that state their charges, and OpenRouter's other fields. Sources: see provider_schemas.COST_KEYS.
_STATING = frozenset({"deepinfra", "openrouter", "perplexity", "x-ai"})
_COMPANIONS = frozenset({"is_byok", "cost_details.upstream_inference_cost"})


def stated_cost(raw_values: Mapping[str, Any], model: str | None, provider: str | None = None) -> Cost | None:
    """The call's cost; None if the response states no reliable cost.

    LiteLLM adds a `cost` that it computed to the usage of any provider; it does not count.

    A cost of 0 counts only for a call that the response marks as free, since gateways state 0 for unknown costs. The
    cost of a call with the caller's own key at OpenRouter is OpenRouter's charge plus the provider's charge.
    """
    if _KEYS.isdisjoint(raw_values):
        return None
    cost = raw_values.get("cost", raw_values.get("estimated_cost"))
    if isinstance(raw_values.get("cost"), int | float | str | Decimal) and not _is_charged(raw_values, model, provider):
        cost = raw_values.get("estimated_cost")
    if cost is not None and not isinstance(cost, int | float | str | Decimal):
        cost = _total_of(cost)
    ticks = amount(raw_values.get("cost_in_usd_ticks"), _MAX_COST_USD * _TICKS_PER_USD)
    if cost is None and ticks is not None:
        cost = Decimal(str(ticks)) / _TICKS_PER_USD
    usd = amount(cost)
    own_key = raw_values.get("is_byok")
    if own_key is True:
        upstream = amount(raw_values.get("cost_details.upstream_inference_cost"))
        return None if usd is None or not upstream else Decimal(str(usd)) + Decimal(str(upstream))
    if usd == 0 and own_key is not False and not (model or "").endswith(":free"):
        return None
    return usd


def _is_charged(raw_values: Mapping[str, Any], model: str | None, provider: str | None) -> bool:
    """Whether the sender of the response charges this cost; OpenRouter's models have their vendor in their name."""
    return provider in _STATING or not _COMPANIONS.isdisjoint(raw_values) or "/" in (model or "")


def _total_of(cost: object) -> object:
    """Perplexity's {"currency": "USD", …, "total_cost": 0.006}."""
    currency = get(cost, "currency")
    if isinstance(currency, str) and currency.upper() != "USD":
        return None
    return next((value for name in ("total_cost", "total") if (value := get(cost, name)) is not None), None)


def amount(value: object, maximum: int = _MAX_COST_USD) -> Cost | None:
    """An amount as a number, exact for text; None for anything else."""
    if isinstance(value, str):
        value = Decimal(value.strip()) if _AMOUNT.fullmatch(value.strip()) else None
    if isinstance(value, bool) or not isinstance(value, int | float | Decimal):
        return None
    return value if 0 <= value < maximum else None
