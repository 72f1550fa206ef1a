"""Maps the providers' words for service tiers to the list price or to a separate price.

genai-prices does not report an unknown tier: it returns the list price. Therefore a word counts as the list price only
if it is in this table; any other word needs a price of its own on the day of the call.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from tracker.prices.unpriced_reasons import Unpriced, unpriced

# Words for the list price that no provider uses for anything else. Sources: OpenAI and Azure `service_tier` (auto,
# default), Anthropic `usage.service_tier` and request (standard, auto, standard_only), Gemini (standard, unspecified),
# Vertex AI `trafficType` and Groq (on_demand), Amazon Bedrock `serviceTier.type` (default).
LIST_PRICE = frozenset({"", "auto", "default", "on_demand", "standard", "standard_only", "unspecified"})
# Words that mean the list price at one provider only. Groq bills flex processing as on-demand processing.
# Source: console.groq.com/docs/flex-processing.
LIST_PRICE_OF: Mapping[str, frozenset[str]] = {"groq": frozenset({"flex"})}
# Words with a price of their own, as genai-prices names them. Sources: OpenAI flex, priority and batch processing;
# Anthropic message batches; Gemini flex, priority and batch; Vertex AI traffic types.
_CONTEXTS: Mapping[str, tuple[str, str]] = {
    "batch": ("processing", "batch"),
    "batches": ("processing", "batch"),
    "flex": ("service_tier", "flex"),
    "on_demand_flex": ("service_tier", "flex"),
    "priority": ("service_tier", "priority"),
    "on_demand_priority": ("service_tier", "priority"),
    "fast": ("service_tier", "fast"),
}
# Words for capacity that is paid by time or by contract: OpenAI and Azure Scale Tier, Amazon Bedrock reserved tier,
# Vertex AI provisioned throughput, Groq performance tier.
_CONTRACTS = frozenset({"performance", "provisioned", "provisioned_throughput", "ptu", "reserved", "scale"})
# Anthropic's `usage.inference_geo`; "us" costs 1.1 times the list price. Source: platform.claude.com, data residency.
_LIST_GEOS = frozenset({"", "global", "not_available", "unspecified"})
_LIST_SPEEDS = frozenset({"", "default", "normal", "standard"})
_PREFIXES = ("service_tier_", "traffic_type_")
PRICE_DETAILS = ("service_tier", "speed", "inference_geo", "batch")
"""The details that select a price; they are not counts."""

Context = dict[str, str]


def price_context(provider: str, details: Mapping[str, Any]) -> Context | Unpriced:
    """The context with which genai-prices selects a price; empty for the list price. `provider` is genai-prices' id."""
    context: Context = {}
    words = {name: _word(details.get(name)) for name in ("service_tier", "speed", "inference_geo")}
    tier, speed, geo = words.values()
    if tier is None or speed is None or geo is None:
        return unpriced("detail_invalid", next(name for name, word in words.items() if word is None))
    if not _is_list_price(provider, tier):
        key, value = _CONTEXTS.get(tier, ("service_tier", tier))
        context[key] = value
    if speed not in _LIST_SPEEDS:
        context["speed"] = speed
    if details.get("batch") not in {None, False}:
        context["processing"] = "batch"
    if geo not in _LIST_GEOS:
        return unpriced("region_not_priced", geo)
    return context


def tier_of(provider: str, details: Mapping[str, Any]) -> str | None:
    """The tier that a custom price must have; None means the list price."""
    context = price_context(provider, details)
    if isinstance(context, Unpriced):
        return context.detail or context.code
    return "+".join(sorted(context.values())) or None


def check_variant(model: Any, provider: Any, at: datetime, context: Context) -> Unpriced | None:
    """Whether genai-prices ignores the context; None if the model has a price for exactly this context on that day.

    `model` and `provider` are genai-prices' own. A variant without prices states that the list price applies.
    """
    if not context:
        return None
    # genai-prices applies no variant of a model that it takes from another provider's list.
    variants = model.price_variants or () if any(model is known for known in provider.models) else ()
    for variant in variants:
        active = variant.constraint is None or variant.constraint.active(at)
        if active and variant.when == context:
            return None
    words = list(context.values())
    unknown = [word for word in words if word not in _KNOWN_WORDS]
    return unpriced("tier_unknown", unknown[0]) if unknown else unpriced("tier_not_priced", " + ".join(words))


_KNOWN_WORDS = {value for _, value in _CONTEXTS.values()} | _CONTRACTS


def _is_list_price(provider: str, tier: str) -> bool:
    return tier in LIST_PRICE or tier in LIST_PRICE_OF.get(provider, ())


def _word(value: object) -> str | None:
    """A provider's word in one spelling: on-demand, ON_DEMAND and TRAFFIC_TYPE_ON_DEMAND are one."""
    if value is None:
        return ""
    if not isinstance(value, str):
        return None
    word = value.strip().lower().replace("-", "_").replace(" ", "_")
    for prefix in _PREFIXES:
        word = word.removeprefix(prefix)
    return word
