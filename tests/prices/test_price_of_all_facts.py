"""A price is genai-prices' price of all facts of the call, or there is none."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import genai_prices
from genai_prices.data_snapshot import get_snapshot
from genai_prices.types import TieredPrices
from hypothesis import given, settings
from hypothesis import strategies as st
from prices_support import BOOK, NAMES, REASON_CODES, counts

from tracker.prices.unpriced_reasons import Unpriced

# --- every fact ---------------------------------------------------------------------------------------------------

# Written apart from the product's tables: words that mean the list price, and genai-prices' context for the others.
LIST_WORDS = {None, "default", "standard", "auto", "on_demand", "ON_DEMAND"}
CONTEXTS = {"batch": ("processing", "batch")} | {word: ("service_tier", word) for word in ("flex", "priority", "fast")}
DETAILS = (
    *("cache_write_1h_tokens", "cache_audio_read_tokens", "input_audio_tokens", "output_audio_tokens"),
    *("input_image_tokens", "output_image_tokens", "input_video_tokens", "web_searches", "audio_seconds"),
)
# Where a provider bills a part without a price of its own as the whole.
BILLED_AS_WHOLE = {
    "output_reasoning_tokens": None,
    "cache_read_tokens": {"openai", "azure"},
    "cache_write_tokens": {"openai", "azure", "google", "deepseek", "x-ai"},
    "input_image_tokens": {"openai", "azure", "google"},
    "input_video_tokens": {"google"},
}
MODELS = [(provider.id, model.id) for provider in get_snapshot().providers for model in provider.models]
TIERED = [
    (provider.id, model.id)
    for provider in get_snapshot().providers
    for model in provider.models
    if model.price_variants
]


@st.composite
def facts(draw: st.DrawFn) -> tuple[str, str, datetime, dict[str, int], dict[str, Any]]:
    provider, model = draw(st.sampled_from(MODELS) | st.sampled_from(TIERED))
    read, write = draw(st.integers(0, 50)), draw(st.integers(0, 50))
    given = counts(
        read + write + draw(st.integers(0, 300_000)),
        draw(st.integers(0, 9)) * 20,
        read,
        write,
        draw(st.integers(0, 20)),
    )
    given["reasoning_output_tokens"] = min(given["reasoning_output_tokens"], given["output_tokens"])
    details: dict[str, Any] = draw(st.dictionaries(st.sampled_from(DETAILS), st.integers(0, 60), max_size=3))
    words = st.sampled_from(["default", "standard", "auto", "on_demand", "ON_DEMAND", *CONTEXTS, "scale"]) | st.text()
    if (word := draw(st.none() | words)) is not None:
        details["service_tier"] = word
    if draw(st.booleans()) and draw(st.booleans()):
        details["speed"] = draw(st.sampled_from(["fast", "standard"]))
    moment = datetime(2025, 1, 1, tzinfo=UTC) + timedelta(hours=draw(st.integers(0, 24 * 760)))
    return provider, model, moment, given, details


@settings(max_examples=600)
@given(facts())
def test_a_price_is_genai_prices_price_of_all_facts_or_there_is_none(case: Any) -> None:
    provider, model, moment, given, details = case
    found = BOOK.price(provider, model, moment, given, details)
    if isinstance(found, Unpriced):
        assert found.code in REASON_CODES
        return
    used = {NAMES[name]: count for name, count in given.items()}
    used |= {name: count for name, count in details.items() if name in DETAILS}
    word = details.get("service_tier")
    context = (
        {} if word in LIST_WORDS or not str(word).strip() else dict([CONTEXTS.get(word.strip().lower(), ("", ""))])
    )
    if details.get("speed") == "fast":
        context["speed"] = "fast"
    if provider == "groq" and word == "flex":
        context = {}
    calculation = genai_prices.calc_price(
        genai_prices.Usage(**used), model, provider_id=provider, genai_request_timestamp=moment, price_context=context
    )
    assert found.cost == calculation.total_price
    # No tier is ignored: the list has a variant for it on that day.
    if context:
        active = [
            variant.when
            for variant in calculation.model.price_variants or ()
            if variant.constraint is None or variant.constraint.active(moment)
        ]
        assert context in active
    # No unit is ignored: it has a price, or the provider bills it as the whole.
    priced = {unit for unit in used if getattr(calculation.model_price, price_key(unit), None) is not None}
    for unit in {name for name, count in used.items() if count} - priced:
        providers = BILLED_AS_WHOLE[unit]
        assert providers is None or provider in providers
    if not found.cost:
        assert any(used.values())
        assert not any(positive(value) for value in vars(calculation.model_price).values() if value is not None)


def price_key(unit: str) -> str:
    from genai_prices.data_units import unit_data

    return str(unit_data[unit].get("price_key", unit))


def positive(value: Any) -> bool:
    return bool(value.base) if isinstance(value, TieredPrices) else bool(value)
