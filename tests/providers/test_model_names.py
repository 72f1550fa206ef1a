"""Names of models and providers that mean the same."""

from __future__ import annotations

import pytest

from tracker.otlp.storing.call_report import CallReport, match_score
from tracker.providers.model_names import (
    model_base,
    plain_model_name,
    provider_named,
    provider_of_host,
    same_model_name,
)
from tracker.providers.responses import ParsedResponse
from tracker.recording.capture import dedupe

SAME = [
    ("us.anthropic.claude-sonnet-4-20250514-v1:0", "claude-sonnet-4-20250514"),
    ("us-gov.anthropic.claude-sonnet-4-20250514-v1:0", "claude-sonnet-4"),
    ("anthropic.claude-sonnet-4-20250514-v1", "claude-sonnet-4-20250514"),
    ("claude-sonnet-4@20250514", "claude-sonnet-4-20250514"),
    ("arn:aws:bedrock:us-east-1:1:inference-profile/eu.amazon.nova-pro-v1:0", "amazon.nova-pro-v1:0"),
    ("openai/gpt-5-mini", "gpt-5-mini-2025-08-07"),
    ("models/gemini-2.5-flash", "gemini-2.5-flash-preview-05-20"),
    ("gemini-2.0-flash", "gemini-2.0-flash-001"),
    ("deepseek-v3", "deepseek-ai/DeepSeek-V3"),
    ("llama3", "llama3:latest"),
]
DIFFERENT = [
    ("gpt-5", "gpt-5-mini"),
    ("gpt-4o-2024-08-06", "gpt-4o-2024-11-20"),
    ("deepseek-v3", "deepseek-v2"),
    ("claude-sonnet-4", "claude-sonnet-4-5"),
]
PAIRS = [(*pair, True) for pair in SAME] + [(*pair, False) for pair in DIFFERENT]


@pytest.mark.parametrize(("one", "other", "same"), PAIRS)
def test_two_names_of_one_model(one: str, other: str, same: bool) -> None:
    assert same_model_name(one, other) is same_model_name(other, one) is same
    assert not same or model_base(one) == model_base(other)
    assert plain_model_name(plain_model_name(one)) == plain_model_name(one)


@pytest.mark.parametrize(("one", "other", "same"), PAIRS)
def test_recorders_and_spans_apply_the_same_rule(one: str, other: str, same: bool) -> None:
    counts = {"input_tokens": 5, "output_tokens": 7}
    first, second = (
        dedupe.observation_of(
            source, ParsedResponse(model=name, counts=counts), None, failed=False, started_s=0, ended_s=1
        )
        for source, name in (("client", one), ("callback", other))
    )
    assert dedupe.is_same_call(first, second) is same
    reports = [CallReport("", scope, name, 0, 1, (5, 7, 0, 0, 0), None) for scope, name in (("a", one), ("b", other))]
    assert (match_score(*reports) is not None) is same


@pytest.mark.parametrize(
    ("server", "provider"),
    [
        ("api.openai.com", "openai"),
        ("https://eu.api.openai.com/v1", "openai"),
        ("us-central1-aiplatform.googleapis.com:443", "google"),
        ("https://my-resource.openai.azure.com/openai", "azure"),
        ("my-resource.services.ai.azure.com", "azure"),
        ("https://bedrock-runtime.us-east-1.amazonaws.com", "aws"),
        ("API.Cohere.com", "cohere"),
        ("api.openai.com.evil.example", None),
        ("localhost:8000", None),
        ("", None),
    ],
)
def test_the_provider_of_a_host(server: str, provider: str | None) -> None:
    assert provider_of_host(server) == provider


@pytest.mark.parametrize("name", ["vertex", "google-vertex", "VertexAI", "GoogleVertexAI", "google.vertex.chat"])
def test_vertex_is_google(name: str) -> None:
    assert provider_named(name) == "google"
