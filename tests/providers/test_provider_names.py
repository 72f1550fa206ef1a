"""Each provider has one name in the table, whichever library names it."""

from __future__ import annotations

import tomllib
from importlib.resources import files

import pytest
from genai_prices.data import providers

from tracker.importing.profile_rules import parse_rule
from tracker.otlp.reading.call_attributes import read_provider
from tracker.providers.model_names import ALIASES, provider_named

NAMES = {
    "amazon_bedrock": "aws",
    "amazon-bedrock": "aws",
    "aws.bedrock": "aws",
    "bedrock_converse": "aws",
    "sagemaker_chat": "aws",
    "text-completion-openai": "openai",
    "openai-codex": "openai",
    "openai.responses": "openai",
    "vertex_ai_beta": "google",
    "google_anthropic_vertex": "google",
    "google-vertex": "google",
    "google.generative-ai": "google",
    "gcp.gemini": "google",
    "google_genai": "google",
    "cohere_chat": "cohere",
    "azure_text": "azure",
    "azure-openai": "azure",
    "az.ai.inference": "azure",
    "Azure OpenAI": "azure",
    "text-completion-codestral": "mistral",
    "mistralai": "mistral",
    "anthropic_text": "anthropic",
    "ollama_chat": "ollama",
    "hosted_vllm": "vllm",
    "watsonx_text": "watsonx",
    "together_ai": "together",
    "fireworks_ai": "fireworks",
    "xai": "x-ai",
    "moonshot": "moonshotai",
    "voyage": "voyageai",
    "groq": "groq",
}


@pytest.mark.parametrize(("name", "expected"), NAMES.items())
def test_a_provider_has_one_name_in_spans_callbacks_and_imports(name, expected):
    assert provider_named(name) == expected
    assert read_provider({"gen_ai.provider.name": name}, None) == expected
    profile = tomllib.loads((files("tracker.importing") / "profiles" / "litellm.toml").read_text(encoding="utf-8"))
    imported = parse_rule(profile["map"]["provider"], "provider")
    assert imported.text({"custom_llm_provider": name}, "provider") == expected
    assert imported.text({"custom_llm_provider": ""}, "provider") == ""


def test_names_of_the_table_stay():
    assert all(provider_named(name) == name for name in ALIASES.values())
    assert all(provider_named(provider.id) == provider.id for provider in providers if "_" not in provider.id)


def test_no_variant_of_litellms_providers_is_left(monkeypatch):
    monkeypatch.setenv("LITELLM_LOCAL_MODEL_COST_MAP", "True")
    from litellm.types.utils import LlmProviders

    known = {provider.value for provider in LlmProviders}
    for value in known:
        base = value.removeprefix("text-completion-")
        for suffix in ("_chat", "_text", "_beta", "_mantle"):
            base = base.removesuffix(suffix)
        if base != value and base in known:
            assert provider_named(value) == provider_named(base), value
