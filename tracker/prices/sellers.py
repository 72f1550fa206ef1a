"""Selects the price list for a model name without a provider: the maker's, or the only seller's with such names.

A maker's list often matches names by their start or a part, so it also matches names of models that only others sell
or sell at another price, such as deepseek-r1-distill-llama-70b or us.anthropic.claude-opus-5.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from tracker.prices.unpriced_reasons import Unpriced, unpriced

Listing = tuple[Any, Any]
"""genai-prices' provider and model."""

MAKERS: Mapping[str, tuple[str, ...]] = {
    "anthropic": ("",),
    "arcee": ("trinity",),
    "aws": ("amazon.",),
    "cohere": ("",),
    "deepseek": ("",),
    "elevenlabs": ("",),
    "google": ("gemini", "gemma"),
    "meta": ("",),
    "minimax": ("",),
    "mistral": ("",),
    "moonshotai": ("",),
    "openai": ("",),
    "perplexity": ("sonar", "pplx-"),
    "voyageai": ("",),
    "x-ai": ("",),
    "zai": ("",),
}
"""The lists of model makers, with the starts of the names of their own models; other lists are of resellers."""

# Names that only one seller uses. Sources: Amazon Bedrock's model ids and inference profiles (region.maker.model),
# OpenRouter's model variants.
_SELLERS_BY_FORM: Sequence[tuple[str, re.Pattern[str]]] = (
    (
        "aws",
        re.compile(
            r"^(?:[a-z-]+\.)?(?:ai21|amazon|anthropic|cohere|deepseek|google|luma|meta|minimax|mistral|moonshot|moonshotai"
            r"|nvidia|openai|qwen|stability|twelvelabs|writer|zai)\.[a-z]"
        ),
    ),
    ("openrouter", re.compile(r":(?:batch|beta|exacto|extended|floor|free|nitro|online|thinking)$")),
)


def find_seller(sellers: Sequence[Any], name: str) -> Listing | Unpriced:
    """The list that a name without a provider belongs to, or the reason why it is not known."""
    name = name.lower()
    for seller_id, form in _SELLERS_BY_FORM:
        if form.search(name):
            only = next((seller for seller in sellers if seller.id == seller_id), None)
            listed = only.find_model(name) if only else None
            return (only, listed) if listed else unpriced("model_unknown")
    listings = [(seller, listed) for seller in sellers if name and (listed := seller.find_model(name))]
    prefixed = _named_by_prefix(sellers, name)
    if not listings and not prefixed:
        return unpriced("model_unknown")
    own = [listing for listing in listings if _is_own_name(listing[0], name)] or prefixed
    own = own or [listing for listing in listings if name.startswith(MAKERS.get(listing[0].id, ()))]
    own = [listing for listing in own if _is_exact(listing, name)] or own
    if not own or len({_token_prices(listing) for listing in own}) > 1:
        return unpriced("provider_unknown")
    if _is_exact(own[0], name):
        return own[0]
    others = {_token_prices(listing) for listing in listings if _is_exact(listing, name)}
    return own[0] if others <= {_token_prices(own[0])} else unpriced("provider_unknown")


def _named_by_prefix(sellers: Sequence[Any], name: str) -> list[Listing]:
    """The listing of a name such as openai/gpt-4o, whose prefix is a seller, as LiteLLM and OpenRouter write it."""
    from genai_prices.data_snapshot import find_provider_by_id

    prefix, slash, rest = name.partition("/")
    seller = find_provider_by_id(list(sellers), prefix) if slash else None
    listed = seller.find_model(rest, all_providers=list(sellers)) if seller else None
    return [(seller, listed)] if listed else []


def _is_own_name(seller: Any, name: str) -> bool:
    """Whether genai-prices assigns the name to the seller; not every list of a maker has a pattern of its names."""
    if seller.model_match is None:
        return name.startswith(MAKERS.get(seller.id, ()))
    return bool(seller.model_match.is_match(name))


def _is_exact(listing: Listing, name: str) -> bool:
    """Whether the list contains the name itself, and not only a pattern that matches it."""
    _, listed = listing
    return bool(listed.id.lower() == name) or _has_equal_clause(listed.match, name)


def _has_equal_clause(match: Any, name: str) -> bool:
    if hasattr(match, "equals"):
        return bool(match.equals.lower() == name)
    return any(_has_equal_clause(clause, name) for clause in getattr(match, "or_", ()))


def _token_prices(listing: Listing) -> tuple[Any, Any]:
    """Today's prices of input and output tokens."""
    prices = listing[1].get_prices(datetime.now(UTC), None)
    return tuple(repr(price) for price in (prices.input_mtok, prices.output_mtok))  # type: ignore[return-value]
