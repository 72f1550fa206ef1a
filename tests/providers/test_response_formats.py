"""Response formats of other providers and frameworks, each with its source (response_formats.json)."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path
from types import SimpleNamespace

import pytest
from google.genai import types as gemini

from tracker.providers.consistency import reread_usage
from tracker.providers.responses import read, read_usage_object, read_usage_text
from tracker.providers.schemas.schema_table import hosted_by, model_from_resource, provider_of
from tracker.providers.to_usage import to_token_usage

CASES = {
    case["name"]: case
    for case in json.loads((Path(__file__).parent / "response_formats.json").read_text(encoding="utf-8"))
}


@pytest.mark.parametrize("name", CASES)
def test_a_response_gives_the_counts_details_and_cost_that_its_provider_defines(name):
    case = CASES[name]
    answer = read(case["response"])
    assert {column: count for column, count in answer.counts.items() if count} == case["counts"]
    assert dict(answer.details) == case.get("details", {})
    assert (answer.provider, answer.model) == (case.get("provider"), case.get("model"))
    assert (answer.problem, answer.note) == (case.get("problem"), case.get("note"))
    assert answer.cost is None if "cost" not in case else Decimal(str(answer.cost)) == Decimal(case["cost"])
    assert case["source"]


@pytest.mark.parametrize("name", [name for name, case in CASES.items() if "parts" in case.get("details", {})])
def test_the_parts_of_a_response_that_used_several_models_add_up_to_its_row(name):
    answer = read(CASES[name]["response"])
    parts = answer.details["parts"]
    assert parts[0]["model"] == answer.model
    for column in ("input_tokens", "output_tokens", "cache_read_input_tokens", "cache_write_input_tokens"):
        assert sum(part["counts"].get(column, 0) for part in parts) == answer.counts.get(column, 0)


def test_the_embeddings_of_google_genai_on_vertex_are_added_up():
    response = gemini.EmbedContentResponse.model_validate(
        {"embeddings": [{"statistics": {"tokenCount": 16}}, {"statistics": {"tokenCount": 15.0}}]}
    )
    assert read(response).counts == {"input_tokens": 31}


def test_an_embedding_without_a_count_marks_the_sum():
    response = {"embeddings": [{"statistics": {"tokenCount": 16}}, {"statistics": {"truncated": False}}]}
    assert read(response).problem == "count_invalid"


def test_voyages_object_states_the_total_next_to_the_embeddings():
    assert read(SimpleNamespace(embeddings=[[0.1]], total_tokens=7)).counts["input_tokens"] == 7


@pytest.mark.parametrize(
    ("text", "counts"),
    [
        (
            (
                '{"anthropic": {"usage": {"input_tokens": 5000, "cache_creation_input_tokens": 700,'
                ' "cache_read_input_tokens": 2284, "output_tokens": 100}, "cacheCreationInputTokens": 700}}'
            ),
            {"input_tokens": 7984, "cache_read_input_tokens": 2284, "cache_write_input_tokens": 700},
        ),
        (
            (
                "{'google': {'usageMetadata': {'promptTokenCount': 5, 'candidatesTokenCount': 6,"
                " 'thoughtsTokenCount': 2, 'totalTokenCount': 13}}}"
            ),
            {"input_tokens": 5, "output_tokens": 8, "reasoning_output_tokens": 2},
        ),
        (
            (
                '{"openrouter": {"usage": {"promptTokens": 5, "completionTokens": 6, "totalTokens": 11,'
                ' "promptTokensDetails": {"cachedTokens": 1}}}}'
            ),
            {"input_tokens": 5, "cache_read_input_tokens": 1},
        ),
        ('{"promptTokenCount": 5, "candidatesTokenCount": 6, "totalTokenCount": 11}', {"input_tokens": 5}),
        ('{"prompt_tokens": 5, "completion_tokens": 6}', {"input_tokens": 5, "output_tokens": 6}),
        ('{"model": "gpt-4o", "usage": {"prompt_tokens": 5, "completion_tokens": 6}}', {"input_tokens": 5}),
    ],
)
def test_usage_inside_a_text_is_read_like_a_response(text, counts):
    answer = read_usage_text(text)
    assert answer is not None
    assert counts.items() <= answer.counts.items()


@pytest.mark.parametrize("text", ["", "no JSON", "{", '{"a": 1}', "[" * 10_000, '{"a":' * 5000, "{}" + " " * 1_000_001])
def test_a_text_without_usage_gives_nothing(text):
    assert read_usage_text(text) is None


def test_a_usage_object_names_its_provider_only_where_it_does_not_itself():
    usage = {"prompt_tokens": 5, "completion_tokens": 6}
    answer = read_usage_object(usage, provider="mistral")
    assert answer is not None
    assert answer.provider == "mistral"
    assert read_usage_object({"model": "gpt-4o"}) is None


@pytest.mark.parametrize(
    ("name", "model", "provider", "host"),
    [
        ("models/gemini-2.5-flash", "gemini-2.5-flash", "google", None),
        ("publishers/google/models/gemini-2.5-pro", "gemini-2.5-pro", "google", "google"),
        ("projects/p/locations/us/publishers/anthropic/models/claude-x", "claude-x", "google", "google"),
        ("us.anthropic.claude-sonnet-4-5-20250929-v1:0", None, "aws", "aws"),
        ("amazon.nova-pro-v1:0", None, "aws", "aws"),
        (
            "arn:aws:bedrock:us-east-1:123456789012:inference-profile/eu.anthropic.claude-sonnet-4-20250514-v1:0",
            "eu.anthropic.claude-sonnet-4-20250514-v1:0",
            "aws",
            "aws",
        ),
        ("arn:aws:bedrock:us-east-1::foundation-model/meta.llama3-8b-v1:0", "meta.llama3-8b-v1:0", "aws", "aws"),
        ("arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/abc", None, "aws", "aws"),
        (
            "bedrock/us.anthropic.claude-sonnet-4-20250514-v1:0",
            "us.anthropic.claude-sonnet-4-20250514-v1:0",
            None,
            None,
        ),
        ("vertex_ai/gemini-2.5-pro", "gemini-2.5-pro", None, None),
        ("accounts/fireworks/models/llama-v3p1-8b-instruct", None, "fireworks", None),
        ("openai/gpt-5-mini", None, None, None),
        ("text-embedding-005", None, "google", None),
        ("text-embedding-3-small", None, "openai", None),
        ("gpt-4o", None, "openai", None),
    ],
)
def test_a_resource_name_gives_its_model_and_its_provider(name, model, provider, host):
    assert (model_from_resource(name), provider_of(name), hosted_by(name)) == (model or name, provider, host)


def test_a_requested_bedrock_id_is_kept_since_its_region_determines_the_price():
    requested = "us.anthropic.claude-sonnet-4-5-20250929-v1:0"
    answer = read({"id": "msg_bdrk_1", "type": "message", "model": "claude-sonnet-4-5-20250929", "usage": {
        "input_tokens": 5, "output_tokens": 6}})  # fmt: skip
    row = to_token_usage(answer, {"model": requested})
    assert (row.model, row.provider, dict(row.metadata)) == (requested, "aws", {"response_id": "msg_bdrk_1"})


def test_a_marked_row_is_read_again_with_todays_rules():
    marked = {
        "usage_source": "response:chat",
        "usage_raw": {
            "prompt_tokens": 10,
            "completion_tokens": 5,
            "total_tokens": 45,
            "completion_tokens_details": {"reasoning_tokens": 30},
        },
    }
    reread = reread_usage(marked)
    assert reread is not None
    assert (reread.problem, reread.counts["output_tokens"]) == (None, 35)
    assert reread_usage({"usage_source": "response:chat"}) is None
    assert reread_usage({"usage_source": "otlp:unknown", "usage_raw": {"a": 1}}) is None


@pytest.mark.parametrize(
    "name", [name for name, case in CASES.items() if case.get("problem") not in {None, "usage_missing"}]
)
def test_reading_a_marked_row_again_gives_the_same_as_its_response(name):
    answer = read(CASES[name]["response"])
    row = to_token_usage(answer, {})
    reread = reread_usage(row.metadata)
    assert reread is not None
    assert (reread.counts, reread.problem) == (dict(answer.counts), answer.problem)
