"""A call in a service tier costs the price of that tier, or has no price."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from prices_support import BOOK, DAY, cost, counts, price

from tracker.prices.custom_prices import load
from tracker.prices.price_catalog import Price, PriceCatalog
from tracker.prices.unpriced_reasons import Unpriced

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
