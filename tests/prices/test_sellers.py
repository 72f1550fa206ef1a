"""A model that is recorded without a provider has the price of its only seller, or no price."""

from __future__ import annotations

import pytest
from prices_support import cost, price

from tracker.prices.unpriced_reasons import Unpriced

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
