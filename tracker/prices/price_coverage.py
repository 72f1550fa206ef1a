"""Checks that a price list covers all usage of a call; genai-prices charges nothing for unknown units.

For a part without a separate price, genai-prices uses the price of the whole: audio like text, a one-hour cache write
like a five-minute one. That is correct only for providers that bill it so; the tables below list them.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

from tracker.prices.unpriced_reasons import Unpriced, unpriced
from tracker.providers.consistency import MAX_COUNT

COUNT_UNITS: Mapping[str, str] = {
    "input_tokens": "input_tokens",
    "output_tokens": "output_tokens",
    "cache_read_input_tokens": "cache_read_tokens",
    "cache_write_input_tokens": "cache_write_tokens",
    "reasoning_output_tokens": "output_reasoning_tokens",
}
"""genai-prices' names of the table's token columns."""

# Parts that every provider bills like the whole.
_LIKE_WHOLE: Mapping[str, str] = {
    "output_reasoning_tokens": "output_tokens",
    "input_text_tokens": "input_tokens",
    "output_text_tokens": "output_tokens",
    "cache_text_read_tokens": "cache_read_tokens",
    "cache_write_5m_tokens": "cache_write_tokens",
    "input_tool_tokens": "input_tokens",
}
# Parts that some providers bill like the whole where their list has no price for them. Sources: OpenAI's and Azure's
# price lists ("-" for cached input means no discount; cache writes are free of charge before gpt-5.6), Gemini's
# ("text / image / video" is one price), DeepSeek's and xAI's (no fee for cache writes).
_LIKE_WHOLE_OF: Mapping[str, tuple[str, frozenset[str]]] = {
    "cache_read_tokens": ("input_tokens", frozenset({"openai", "azure"})),
    "cache_write_tokens": ("input_tokens", frozenset({"openai", "azure", "google", "deepseek", "x-ai"})),
    "input_image_tokens": ("input_tokens", frozenset({"openai", "azure", "google"})),
    "input_video_tokens": ("input_tokens", frozenset({"google"})),
    "cache_image_read_tokens": ("cache_read_tokens", frozenset({"openai", "azure", "google"})),
    "cache_video_read_tokens": ("cache_read_tokens", frozenset({"google"})),
}
_OUTPUT_MODALITIES = frozenset(
    {"output_image_tokens", "output_text_tokens", "output_audio_tokens", "output_video_tokens"}
)
_SEPARATE_OUTPUTS = frozenset({"output_image_tokens", "output_video_tokens"})
# Google's usage states the modality of every output. OpenAI's states 0 audio tokens for text, which is not recorded.
_STATED_OUTPUTS_OF: Mapping[str, frozenset[str]] = {"google": frozenset({"output_audio_tokens"})}
# Mistral's usage states the seconds of audio only if audio was sent.
_UNITS_IF_USED = frozenset({"mistral"})
_IMAGES = frozenset({"input_image_tokens", "cache_image_read_tokens"})
_CACHED_MODALITIES = frozenset({"cache_audio_read_tokens", "cache_image_read_tokens", "cache_video_read_tokens"})
# Details that describe the origin of tokens; they change no price.
INFORMATIVE = frozenset({"accepted_prediction_tokens", "rejected_prediction_tokens", "parts", "calls"})


@cache
def price_keys() -> Mapping[str, str]:
    """genai-prices' unit for each of its price keys."""
    from genai_prices.data_units import unit_data

    return {str(unit.get("price_key", name)): name for name, unit in unit_data.items()}


@cache
def known_units() -> frozenset[str]:
    """The units that a call may record."""
    return frozenset(price_keys().values()) - {"requests"}


def read_units(details: Mapping[str, Any], price_details: tuple[str, ...]) -> dict[str, int | float] | Unpriced:
    """The counts in the details, by genai-prices' names; includes 0 only for cached modalities, which prices need."""
    units: dict[str, int | float] = {}
    for name, value in details.items():
        if name in price_details or name in INFORMATIVE or value is None:
            continue
        count = is_count(value)
        if name not in known_units():
            if count and value:
                return unpriced("detail_unknown", name)
        elif not count:
            return unpriced("detail_invalid", name)
        elif value or name in _CACHED_MODALITIES:
            units[name] = value
    return units


def is_count(value: object) -> bool:
    """Whether a recorded detail is a count that a call can have."""
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= MAX_COUNT


def priced_units(model_price: Any) -> dict[str, Any]:
    """The units that a model has a price for, each with genai-prices' price."""
    prices = {price_keys().get(key): value for key, value in vars(model_price).items() if value is not None}
    return {unit: value for unit, value in prices.items() if unit}


def check_units(used: Mapping[str, int | float], priced: Mapping[str, Any], provider: str) -> Unpriced | None:
    """The first unit that was used and has no price; None if the list covers all of them."""
    for unit, count in used.items():
        if count and not _is_covered(unit, priced, provider):
            return unpriced("detail_not_priced", unit)
    # A model that makes images and text has a price for each: which of them the output is has to be recorded.
    separate = _SEPARATE_OUTPUTS | (_STATED_OUTPUTS_OF.get(provider) or frozenset())
    if not separate.isdisjoint(priced) and used.get("output_tokens") and _OUTPUT_MODALITIES.isdisjoint(used):
        return unpriced("details_incomplete")
    return None


def check_unit_prices(used: Mapping[str, int | float], priced: Mapping[str, Any], provider: str) -> Unpriced | None:
    """The unit that a model is billed by besides tokens, if the call records none of its units."""
    units = [unit for unit, price in priced.items() if not _is_optional(unit) and _is_positive(price)]
    if not units or provider in _UNITS_IF_USED or not used.keys().isdisjoint(units):
        return None
    return unpriced("unit_missing", units[0])


def _is_optional(unit: str) -> bool:
    return unit.endswith(("_tokens", "_searches")) or unit == "requests"


def _is_covered(unit: str, priced: Mapping[str, Any], provider: str) -> bool:
    if unit in priced:
        return True
    if whole := _LIKE_WHOLE.get(unit):
        return _is_covered(whole, priced, provider)
    whole, providers = _LIKE_WHOLE_OF.get(unit, ("", frozenset()))
    if provider not in providers or (unit in _IMAGES and provider != "google" and _has_modalities(priced)):
        return False
    return _is_covered(whole, priced, provider)


def _has_modalities(priced: Mapping[str, Any]) -> bool:
    """Whether the model has separate prices for audio or images: then a missing one is unknown, not equal."""
    return any("audio" in unit or "image" in unit for unit in priced)


def check_billed(used: Mapping[str, int | float], priced: Mapping[str, Any]) -> Unpriced | None:
    """What the model is billed by and the call does not record; called where the price would be 0.

    None if everything the call used is free of charge.
    """
    missing = [unit for unit, price in priced.items() if unit not in used and _is_positive(price)]
    if used and not missing:
        return None
    tokens = any(unit.endswith("_tokens") for unit in missing)
    return unpriced("unit_missing", missing[0]) if missing and not tokens else unpriced("usage_missing")


def _is_positive(price: Any) -> bool:
    return bool(price.base or any(tier.price for tier in price.tiers)) if hasattr(price, "tiers") else bool(price)


def check_batch(
    used: Mapping[str, int | float], priced: Mapping[str, Any], calls: int, provider: str
) -> Unpriced | None:
    """Whether the price of a row that is the sum of several calls depends on the single calls."""
    if calls <= 1:
        return None
    starts = [tier.start for unit in used if hasattr(priced.get(unit), "tiers") for tier in priced[unit].tiers]
    # Groq bills at least 10 seconds of audio for each call.
    by_call = "requests" in priced or (provider == "groq" and "audio_seconds" in used)
    if by_call or (starts and used.get("input_tokens", 0) > min(starts)):
        return unpriced("batch_needs_calls")
    return None
