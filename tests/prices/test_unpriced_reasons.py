"""A call whose price depends on unknown details has no price, and the reason states the detail."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from genai_prices.data_snapshot import get_snapshot
from hypothesis import given
from hypothesis import strategies as st
from prices_support import BOOK, DAY, REASON_CODES, cost, counts, price

from tracker.prices.price_catalog import Price
from tracker.prices.price_coverage import priced_units
from tracker.prices.unpriced_reasons import Unpriced, describe_reason, read_reason, unpriced

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
