"""A call whose price depends on unknown details has no price, and the reason states the detail."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import genai_prices
import pytest
from genai_prices.data_snapshot import get_snapshot
from genai_prices.types import TieredPrices
from hypothesis import given, settings
from hypothesis import strategies as st

from tracker.messages.prices_texts import TEXTS
from tracker.prices.custom_prices import load
from tracker.prices.price_catalog import Price, PriceCatalog
from tracker.prices.price_coverage import priced_units
from tracker.prices.unpriced_reasons import Unpriced, describe_reason, read_reason, unpriced

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
    found = price(*arguments, **given)
    assert isinstance(found, Price), found
    return found.cost


# --- service tiers ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("provider", "model", "word"),
    [
        ("openai", "gpt-5", "default"),
        ("openai", "gpt-5", "auto"),
        ("azure", "gpt-5", "default"),
        ("anthropic", "claude-opus-5", "standard"),
        ("anthropic", "claude-opus-5", "standard_only"),
        ("google", "gemini-2.5-flash", "STANDARD"),
        ("google", "gemini-2.5-flash", "ON_DEMAND"),
        ("google", "gemini-2.5-flash", "TRAFFIC_TYPE_UNSPECIFIED"),
        ("groq", "llama-3.3-70b-versatile", "on_demand"),
        ("groq", "llama-3.3-70b-versatile", "on-demand"),
        ("groq", "llama-3.3-70b-versatile", "flex"),
        ("aws", "anthropic.claude-sonnet-4-5-20250929-v1:0", "default"),
    ],
)
def test_a_word_for_the_list_price_costs_the_list_price(provider: str, model: str, word: str) -> None:
    given = {"input_tokens": 1000, "output_tokens": 10}
    assert cost(provider, model, {"service_tier": word}, **given) == cost(provider, model, **given)


@pytest.mark.parametrize(
    ("provider", "model", "details", "factor"),
    [
        ("openai", "gpt-5", {"service_tier": "flex"}, Decimal("0.5")),
        ("openai", "gpt-5", {"service_tier": "priority"}, Decimal(2)),
        ("openai", "gpt-5", {"service_tier": "batch"}, Decimal("0.5")),
        ("openai", "gpt-5", {"service_tier": "default", "batch": True}, Decimal("0.5")),
        ("anthropic", "claude-opus-5", {"service_tier": "standard", "batch": True}, Decimal("0.5")),
        ("google", "gemini-2.5-flash", {"service_tier": "batch"}, Decimal("0.5")),
        ("openai", "gpt-3.5-turbo-1106", {"batch": True}, Decimal(1)),  # the list states that it costs the same
    ],
)
def test_a_tier_with_a_price_of_its_own_costs_that_price(
    provider: str, model: str, details: Any, factor: Decimal
) -> None:
    given = {"input_tokens": 1000, "output_tokens": 10}
    assert cost(provider, model, details, **given) == factor * cost(provider, model, **given)


@pytest.mark.parametrize(
    ("provider", "model", "details", "reason"),
    [
        ("openai", "gpt-5", {"service_tier": "turbo"}, Unpriced("tier_unknown", "turbo")),
        ("openai", "gpt-5", {"service_tier": "scale"}, Unpriced("tier_not_priced", "scale")),
        ("openai", "gpt-4.1", {"service_tier": "flex"}, Unpriced("tier_not_priced", "flex")),
        ("openai", "gpt-5", {"service_tier": "flex", "batch": True}, Unpriced("tier_not_priced", "flex + batch")),
        ("azure", "gpt-5", {"service_tier": "priority"}, Unpriced("tier_not_priced", "priority")),
        ("anthropic", "claude-opus-5", {"service_tier": "priority"}, Unpriced("tier_not_priced", "priority")),
        ("anthropic", "claude-sonnet-4-5", {"speed": "fast"}, Unpriced("tier_not_priced", "fast")),
        ("anthropic", "claude-opus-5", {"inference_geo": "us"}, Unpriced("region_not_priced", "us")),
        ("google", "gemini-2.5-flash", {"service_tier": "PROVISIONED_THROUGHPUT"}, None),
        ("google", "gemini-2.5-flash", {"service_tier": "ON_DEMAND_FLEX"}, Unpriced("tier_not_priced", "flex")),
        ("groq", "llama-3.3-70b-versatile", {"service_tier": "performance"}, None),
        ("groq", "llama-3.3-70b-versatile", {"batch": True}, Unpriced("tier_not_priced", "batch")),
        ("aws", "anthropic.claude-sonnet-4-5-20250929-v1:0", {"service_tier": "reserved"}, None),
        ("deepseek", "deepseek-chat", {"batch": True}, Unpriced("tier_not_priced", "batch")),
    ],
)
def test_a_tier_that_the_list_ignores_leaves_the_call_without_a_price(
    provider: str, model: str, details: Any, reason: Unpriced | None
) -> None:
    tier = str(details.get("service_tier")).lower()
    assert price(provider, model, details, input_tokens=1000) == (reason or Unpriced("tier_not_priced", tier))


def test_a_tier_costs_its_price_from_the_day_that_the_list_states() -> None:
    before = datetime(2026, 10, 11, 23, 59, tzinfo=UTC)
    assert price("openai", "gpt-5", {"service_tier": "flex"}, before, input_tokens=1) == Unpriced(
        "tier_not_priced", "flex"
    )
    assert cost("openai", "gpt-5", {"service_tier": "flex"}, datetime(2026, 10, 12, tzinfo=UTC), input_tokens=1)


# --- units --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("provider", "model", "given", "details", "reason"),
    [
        ("openai", "gpt-4o-audio-preview", {"input_tokens": 9}, {"input_audio_tokens": 5}, "input_audio_tokens"),
        ("openai", "gpt-4o", {"output_tokens": 9}, {"output_audio_tokens": 5}, "output_audio_tokens"),
        ("openai", "gpt-4o-transcribe", {"input_tokens": 9}, {"input_image_tokens": 5}, "input_image_tokens"),
        ("google", "gemini-2.5-flash", {"output_tokens": 9}, {"output_image_tokens": 5}, "output_image_tokens"),
        ("groq", "llama-3.3-70b-versatile", {"input_tokens": 9, "read": 3}, {}, "cache_read_tokens"),
        ("openai", "gpt-5", {"input_tokens": 9, "write": 3}, {"cache_write_1h_tokens": 3}, "cache_write_1h_tokens"),
        ("groq", "llama-3.3-70b-versatile", {"input_tokens": 9}, {"web_searches": 1}, "web_searches"),
        ("openai", "whisper-1", {"input_tokens": 9}, {}, "input_tokens"),
        ("openai", "tts-1", {"input_tokens": 9}, {}, "input_tokens"),
    ],
)
def test_a_unit_without_a_price_leaves_the_call_without_a_price(
    provider: str, model: str, given: Any, details: Any, reason: str
) -> None:
    assert price(provider, model, details, **given) == Unpriced("detail_not_priced", reason)


@pytest.mark.parametrize(
    ("provider", "model", "reason"),
    [
        ("openai", "whisper-1", Unpriced("unit_missing", "audio_seconds")),
        ("groq", "whisper-large-v3", Unpriced("unit_missing", "audio_seconds")),
        ("openai", "tts-1", Unpriced("unit_missing", "input_characters")),
        ("openai", "gpt-4o", Unpriced("usage_missing")),
        ("perplexity", "sonar", Unpriced("usage_missing")),
    ],
)
def test_a_call_without_its_billed_unit_does_not_cost_0(provider: str, model: str, reason: Unpriced) -> None:
    assert price(provider, model) == reason


def billed_by_units() -> list[tuple[str, str]]:
    """All models with a positive price by time, page, character, or message."""
    models = []
    for seller in get_snapshot().providers:
        for model in seller.models:
            priced = priced_units(model.get_prices(DAY, None))
            if any(not unit.endswith(("_tokens", "_searches", "requests")) and priced[unit] for unit in priced):
                models.append((seller.id, model.id))
    return models


def test_no_model_that_is_billed_by_units_is_priced_by_its_tokens_alone() -> None:
    models = billed_by_units()
    assert len(models) > 20
    for provider, model in models:
        assert isinstance(price(provider, model), Unpriced), model
        if model != "voxtral-small-24b-2507":  # a chat model: Mistral states its seconds of audio only if there are any
            assert isinstance(price(provider, model, input_tokens=10, output_tokens=10), Unpriced), model


def test_tokens_and_time_are_priced_together() -> None:
    tokens = {"input_tokens": 1_000_000}
    assert price("elevenlabs", "eleven_realtime_v1_max", **tokens) == Unpriced("unit_missing", "audio_seconds")
    assert cost("elevenlabs", "eleven_realtime_v1_max", {"audio_seconds": 3600}, **tokens) == Decimal("6.6")


def test_a_deep_research_call_without_its_searches_has_no_price() -> None:
    assert price("perplexity", "sonar-deep-research", input_tokens=10) == Unpriced("unit_missing", "web_searches")
    assert cost("perplexity", "sonar-deep-research", {"web_searches": 2}, input_tokens=10) == Decimal("0.01002")


def test_audio_that_is_billed_by_time_is_priced_by_its_seconds() -> None:
    assert cost("openai", "whisper-1", {"audio_seconds": 60}) == Decimal("0.006")


def test_images_cost_as_text_where_the_provider_lists_one_price() -> None:
    assert cost("google", "gemini-2.5-flash", {"input_image_tokens": 258}, input_tokens=300) == Decimal("0.00009")
    assert cost("openai", "gpt-4o", {"input_image_tokens": 100}, input_tokens=300) == Decimal("0.00075")


def test_cached_audio_needs_its_share_of_the_cached_tokens() -> None:
    given = {"input_tokens": 1000, "read": 800}
    assert price("openai", "gpt-realtime", {"input_audio_tokens": 900}, **given) == Unpriced("details_incomplete")
    assert cost("openai", "gpt-realtime", {"input_audio_tokens": 900, "cache_audio_read_tokens": 700}, **given)


def test_cached_text_is_priced_where_zeros_state_that_no_audio_was_cached() -> None:
    stated = {"input_audio_tokens": 900, "cache_audio_read_tokens": 0, "cache_image_read_tokens": 0}
    found = price("openai", "gpt-realtime", stated, input_tokens=1000, read=64)
    assert found == Price(Decimal("0.0289696"), BOOK.source)  # 36 text at 4, 64 cached at 0.4, 900 audio at 32 USD


@pytest.mark.parametrize(
    ("model", "modality"),
    [
        ("gemini-2.5-flash-image", "image"),
        ("gemini-3-pro-image-preview", "image"),
        ("gemini-omni-1.1-flash", "video"),
        ("gemini-live-2.5-flash", "audio"),
    ],
)
def test_output_of_a_model_with_several_output_prices_needs_its_modality(model: str, modality: str) -> None:
    given = {"input_tokens": 10, "output_tokens": 1290}
    assert price("google", model, **given) == Unpriced("details_incomplete")
    assert cost("google", model, {f"output_{modality}_tokens": 1290}, **given)
    assert cost("google", model, {"output_text_tokens": 1290}, **given)
    assert cost("google", model, input_tokens=10)


@pytest.mark.parametrize("model", ["gpt-4o-search-preview", "gpt-4o-mini-search-preview", "gpt-5-search-api"])
def test_a_search_model_without_its_searches_has_no_price(model: str) -> None:
    assert price("openai", model, input_tokens=10) == Unpriced("unit_missing", "web_searches")


@pytest.mark.parametrize("provider", ["", "deepseek"])
@pytest.mark.parametrize("model", ["deepseek-r1:8b", "deepseek-r1:latest", "deepseek-r1:1.5b-qwen-distill-q4_K_M"])
def test_a_model_of_ollama_does_not_cost_what_its_maker_charges(provider: str, model: str) -> None:
    assert price(provider, model, input_tokens=10) == Unpriced("model_unknown")


def test_a_failed_call_without_usage_costs_0() -> None:
    assert cost("openai", "gpt-4o", failed=True) == 0
    assert cost("openai", "gpt-4o", failed=True, input_tokens=1) > 0


# --- rows of several calls or models ------------------------------------------------------------------------------


def test_a_batch_row_is_priced_where_no_call_of_it_can_be_in_a_higher_tier() -> None:
    batch = {"batch": True}
    assert cost("google", "gemini-2.5-pro", batch, calls=9, input_tokens=200_000)
    reason = Unpriced("batch_needs_calls")
    assert price("google", "gemini-2.5-pro", batch, calls=9, input_tokens=200_001) == reason
    assert cost("google", "gemini-2.5-pro", batch, calls=1, input_tokens=200_001)
    assert price("groq", "whisper-large-v3", {"batch": True, "audio_seconds": 60}, calls=9) == reason
    assert price("perplexity", "sonar", calls=2, input_tokens=9) == reason


def part(model: str, details: Any = None, provider: str | None = None, **given: int) -> dict[str, Any]:
    """As the readers record it: the counts are next to the model."""
    return {"model": model, "provider": provider, **counts(**given), "details": details or {}}


def test_the_parts_of_several_models_add_up() -> None:
    parts = [part("claude-opus-5", input_tokens=600, output_tokens=10), part("claude-haiku-4-5", input_tokens=400)]
    given = {"input_tokens": 1000, "output_tokens": 10}
    expected = cost("anthropic", "claude-opus-5", input_tokens=600, output_tokens=10) + cost(
        "anthropic", "claude-haiku-4-5", input_tokens=400
    )
    assert cost("anthropic", "claude-opus-5", {"parts": parts}, **given) == expected
    searched = cost("anthropic", "claude-opus-5", {"parts": parts, "web_searches": 2}, **given)
    assert searched == expected + Decimal("0.02")
    assert cost("anthropic", "claude-opus-5", {"parts": parts, "batch": True}, **given) == expected / 2
    parts[1]["details"] = {"web_searches": 3}
    assert cost("anthropic", "claude-opus-5", {"parts": parts, "web_searches": 3}, **given) == expected + Decimal(
        "0.03"
    )
    assert cost("anthropic", "claude-opus-5", {"parts": parts, "web_searches": 4}, **given) == expected + Decimal(
        "0.04"
    )
    contradicting = price("anthropic", "claude-opus-5", {"parts": parts, "web_searches": 2}, **given)
    assert contradicting == Unpriced("parts_invalid")


@pytest.mark.parametrize(
    ("parts", "reason"),
    [
        ([part("gpt-5", input_tokens=5), part("x", input_tokens=5)], Unpriced("part_not_priced", "x: model_unknown")),
        ([part("gpt-5", input_tokens=5)], Unpriced("parts_invalid")),
        ([], Unpriced("parts_invalid")),
        ("gpt-5", Unpriced("parts_invalid")),
        ([3], Unpriced("parts_invalid")),
        ([{"model": "gpt-5"}], Unpriced("parts_invalid")),
        ([{"model": "gpt-5", "counts": 3}], Unpriced("parts_invalid")),
        *(
            ([part("gpt-5", {"web_searches": count}, input_tokens=10)], Unpriced("detail_invalid", "web_searches"))
            for count in ("x", -1, 1e15, 1e300, float("inf"), 2**31)
        ),
        ([part("gpt-5", {"parts": []}, input_tokens=10)], Unpriced("parts_invalid")),
        ([part("gpt-5", input_tokens=-5), part("gpt-5", input_tokens=15)], Unpriced("parts_invalid")),
    ],
)
def test_parts_that_cannot_be_priced_leave_the_row_without_a_price(parts: Any, reason: Unpriced) -> None:
    assert price("openai", "gpt-5", {"parts": parts}, input_tokens=10) == reason


# --- providers ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("model", "provider"),
    [
        ("text-embedding-3-large", "openai"),
        ("text-embedding-ada-002", "openai"),
        ("chatgpt-4o-latest", "openai"),
        ("gemini-embedding-001", "google"),
        ("sonar", "perplexity"),
        ("embed-v4.0", "cohere"),
        ("amazon.nova-pro-v1:0", "aws"),
        ("mistral-embed", "mistral"),
    ],
)
def test_a_model_of_one_maker_needs_no_provider(model: str, provider: str) -> None:
    given = {"input_tokens": 100}
    assert cost("", model, **given) == cost(provider, model, **given)


def test_a_model_that_only_others_sell_needs_its_provider() -> None:
    assert price("", "llama-3.3-70b-versatile", input_tokens=1) == Unpriced("provider_unknown")


@pytest.mark.parametrize(
    ("model", "provider", "sold_as"),
    [
        ("us.anthropic.claude-opus-5", "aws", "us.anthropic.claude-opus-5"),  # a tenth more than Anthropic's price
        ("anthropic.claude-opus-5", "aws", "anthropic.claude-opus-5"),
        ("deepseek.r1-v1:0", "aws", "deepseek.r1-v1:0"),
        ("anthropic/claude-opus-4.5:batch", "openrouter", "anthropic/claude-opus-4.5:batch"),
        ("openai/gpt-4o", "openai", "gpt-4o"),
        ("google/gemini-2.5-pro", "google", "gemini-2.5-pro"),
        ("mistralai/mistral-large-2407", "mistral", "mistral-large-2407"),
        ("vertex_ai/gemini-2.5-pro", "google", "gemini-2.5-pro"),
        ("azure/gpt-4o", "azure", "gpt-4o"),
        ("claude-3-5-haiku", "anthropic", "claude-3-5-haiku"),
    ],
)
def test_a_name_that_only_one_seller_uses_has_its_price(model: str, provider: str, sold_as: str) -> None:
    given = {"input_tokens": 1000, "output_tokens": 100}
    assert cost("", model, **given) == cost(provider, sold_as, **given)


@pytest.mark.parametrize(
    "model",
    [
        "deepseek-r1-distill-llama-70b",  # in DeepSeek's list only by a pattern; Groq and OVHcloud sell it
        "mixtral-8x7b-32768",
        "deepseek/deepseek-v4-pro",
        "moonshotai/kimi-k3",
        "anthropic/claude-opus-4.8-fast",
        "glm-5",  # z.ai and bigmodel.cn have different prices
        "openai/gpt-oss-120b",
    ],
)
def test_a_name_with_several_prices_needs_its_provider(model: str) -> None:
    assert price("", model, input_tokens=1000) == Unpriced("provider_unknown")


def test_a_free_variant_does_not_cost_what_its_maker_charges() -> None:
    assert isinstance(price("", "deepseek-chat:free", input_tokens=1000), Unpriced)


# --- custom prices ------------------------------------------------------------------------------------------------


def test_a_custom_price_may_be_for_one_tier(tmp_path: Any) -> None:
    file = tmp_path / "prices.toml"
    file.write_text(
        'price = [{model = "gpt-5", input = 1, output = 1, service_tier = "flex"},'
        ' {model = "m", input = 2, output = 2}]'
    )
    book = PriceCatalog(load(str(file)))
    million = counts(input_tokens=1_000_000)
    before = datetime(2026, 1, 1, tzinfo=UTC)
    assert book.price("openai", "gpt-5", before, million, {"service_tier": "flex"}) == Price(Decimal(1), "own prices")
    assert book.price("openai", "gpt-5", before, million) == BOOK.price("openai", "gpt-5", before, million)
    assert book.price("", "m", DAY, million, {"service_tier": "default"}) == Price(Decimal(2), "own prices")
    assert book.price("", "m", DAY, million, {"service_tier": "turbo"}) == Unpriced("model_unknown")
    assert book.price("", "m", DAY, counts(), {"audio_seconds": 5}) == Unpriced("detail_not_priced", "audio_seconds")
    assert book.price("", "m", DAY, counts()) == Unpriced("usage_missing")


def test_a_renamed_model_has_the_tiers_of_the_other(tmp_path: Any) -> None:
    (tmp_path / "p.toml").write_text('[[price]]\nmodel = "prod"\nsame_as = "gpt-5"\nsame_provider = "openai"')
    book = PriceCatalog(load(str(tmp_path / "p.toml")))
    million, flex = counts(input_tokens=1_000_000), {"service_tier": "flex"}
    assert book.price("own", "prod", DAY, million, flex) == BOOK.price("openai", "gpt-5", DAY, million, flex)


# --- reasons ------------------------------------------------------------------------------------------------------


@given(st.sampled_from(sorted(REASON_CODES)), st.text(max_size=200))
def test_a_reason_survives_being_stored(code: str, detail: str) -> None:
    reason = unpriced(code, detail)
    assert read_reason(reason.source) == reason
    assert "\n" not in describe_reason(reason)
    assert "{" not in describe_reason(unpriced(code))


@pytest.mark.parametrize(
    ("detail", "text"),
    [
        ("gpt-4.1: model_unknown", "{gpt-4.1}. The price list does not contain this model."),
        ("m: detail_not_priced web_searches", "{m}. The price list has no price for web_searches of this model."),
        ("m", "{m}."),
        ("", "{an unknown value}."),
    ],
)
def test_the_reason_of_a_part_is_a_sentence(detail: str, text: str) -> None:
    expected = f"One of the models in the row has no price: {text.replace('{', '').replace('}', '')}"
    assert describe_reason(Unpriced("part_not_priced", detail)) == expected


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
    used |= {name: count for name, count in details.items() if name in DETAILS and count}
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
