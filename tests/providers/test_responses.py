"""Responses of each schema that providers send, compared with the counts of their own pages and libraries.

The shapes lie in answers/*.json, each with its source. genai-prices' extraction is the oracle for those it knows;
LiteLLM's is the second opinion.
"""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import MagicMock

import anthropic.types
import genai_prices
import openai.types
import openai.types.chat
import openai.types.responses
import pytest
from google.genai import types as gemini
from hypothesis import given
from hypothesis import strategies as st

from tracker.providers.consistency import problem_text
from tracker.providers.responses import ParsedResponse, ResponseReader, read
from tracker.providers.schemas.schema_table import COUNTS
from tracker.providers.to_usage import to_token_usage

CASES = {
    f"{path.stem}: {case['name']}": {**case, "file": path.stem}
    for path in sorted((Path(__file__).parent / "responses").glob("*.json"))
    for case in json.loads(path.read_text(encoding="utf-8"))
}
WHOLE = {name: case for name, case in CASES.items() if "answer" in case}
USED = ("input_tokens", "output_tokens", "cache_read_input_tokens", "cache_write_input_tokens")


def chunks_of(case: dict[str, Any]) -> Any:
    return case["answer"] if "answer" in case else case["stream"]


def counts(answer: ParsedResponse) -> dict[str, int]:
    return {name: count for name, count in answer.counts.items() if count}


def check(answer: ParsedResponse, case: dict[str, Any]) -> None:
    expected = case["expected"]
    assert counts(answer) == {name: expected[name] for name in COUNTS if name in expected}
    assert (answer.provider, answer.model) == (expected["provider"], expected["model"])
    assert answer.failure == expected.get("failure")
    assert answer.cost == expected.get("cost")
    assert answer.details == case.get("details", {})
    assert answer.problem == expected.get("problem")


def test_at_least_forty_schemas_are_tested_each_with_its_source():
    assert len(CASES) >= 40
    assert all(case["source"] for case in CASES.values())


@pytest.mark.parametrize("name", CASES)
def test_decoded_json_gives_the_providers_counts(name):
    check(read(chunks_of(CASES[name])), CASES[name])


@pytest.mark.parametrize("name", CASES)
def test_any_object_with_these_fields_gives_the_same(name):
    check(read(_plain_objects(chunks_of(CASES[name]))), CASES[name])


@pytest.mark.parametrize("name", CASES)
def test_a_parsed_response_can_be_stored(name):
    usage = to_token_usage(read(chunks_of(CASES[name])), {"operation": "tests"})
    assert usage.total_tokens >= usage.input_tokens + usage.output_tokens
    assert usage.success is ("failure" not in CASES[name]["expected"])


def _plain_objects(value: Any) -> Any:
    if isinstance(value, dict):
        return SimpleNamespace(**{_snake(key): _plain_objects(item) for key, item in value.items()})
    return [_plain_objects(item) for item in value] if isinstance(value, list) else value


def _snake(name: str) -> str:
    return "".join("_" + char.lower() if char.isupper() else char for char in name)


# --- the libraries' own objects -----------------------------------------------------------------------------------

LIBRARY = {
    "gemini": gemini.GenerateContentResponse.model_validate,
    "openai_chat": lambda body: openai.types.chat.ChatCompletion.construct(**body),
    "compatible": lambda body: openai.types.chat.ChatCompletion.construct(**body),
    "openai_responses": lambda body: openai.types.responses.Response.construct(**body),
    "anthropic": lambda body: anthropic.types.Message.construct(**body),
}
SPECIAL = {
    "openai_chat: embedding": lambda body: openai.types.CreateEmbeddingResponse.construct(**body),
    "openai_responses: image made": lambda body: openai.types.ImagesResponse.construct(**body),
    "gemini: live": gemini.LiveServerMessage.model_validate,
}
JSON_ONLY = {name for name in WHOLE if name.endswith((": batched", ": error", ": realtime"))}


@pytest.mark.parametrize("name", sorted(set(WHOLE) - JSON_ONLY))
def test_the_official_librarys_object_gives_the_same(name):
    build = SPECIAL.get(name, LIBRARY[WHOLE[name]["file"]])
    check(read(build(WHOLE[name]["answer"])), WHOLE[name])


# --- others' opinions ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [name for name, case in WHOLE.items() if case.get("oracle")])
def test_genai_prices_reads_the_same_figures(name):
    provider, flavor = WHOLE[name]["oracle"]
    extracted = genai_prices.data_snapshot.get_snapshot().find_provider(None, provider, None)
    _, usage = extracted.extract_usage(WHOLE[name]["answer"], api_flavor=flavor)
    ours = read(WHOLE[name]["answer"]).counts
    expected = (usage.input_tokens, usage.output_tokens, usage.cache_read_tokens, usage.cache_write_tokens)
    assert tuple(ours.get(key, 0) for key in USED) == tuple(count or 0 for count in expected)


# Where LiteLLM counts otherwise, and why the provider's own page is followed.
LITELLM_DIFFERS = {
    "gemini: tool use by the provider": "it leaves the provider's own tools out of the input",
    "compatible: xAI, reasoning beside the output": "it repairs xAI's output for its own calls alone",
    "compatible: xAI's own library": "it doesn't know cached_prompt_text_tokens",
    "compatible: Moonshot, cached": "it doesn't know usage.cached_tokens",
    "compatible: Perplexity, deep research": "it prices citations apart and leaves them out of the output",
}


def litellm_counts(case: dict[str, Any]) -> tuple[int, int, int]:
    from litellm.llms.anthropic.chat.transformation import AnthropicConfig
    from litellm.llms.vertex_ai.gemini.vertex_and_google_ai_studio_gemini import VertexGeminiConfig
    from litellm.responses.utils import ResponseAPILoggingUtils
    from litellm.types.utils import Usage

    body = case["answer"]
    if case["file"] == "gemini":
        usage = VertexGeminiConfig._calculate_usage(completion_response=body)
    elif case["file"] == "anthropic":
        usage = AnthropicConfig().calculate_usage(usage_object=body["usage"], reasoning_content=None)
    elif case["file"] == "openai_responses":
        usage = ResponseAPILoggingUtils._transform_response_api_usage_to_chat_usage(body["usage"])
    else:
        usage = Usage(**body["usage"])
    details = usage.prompt_tokens_details
    return usage.prompt_tokens, usage.completion_tokens, (details.cached_tokens or 0) if details else 0


@pytest.mark.parametrize(
    "name", [n for n, c in WHOLE.items() if n not in JSON_ONLY and any(key in c["expected"] for key in USED)]
)
def test_litellm_reads_the_same_figures(name):
    ours = read(WHOLE[name]["answer"]).counts
    mine = tuple(ours.get(key, 0) for key in USED[:3])
    if name in LITELLM_DIFFERS:
        assert litellm_counts(WHOLE[name]) != mine, "it agrees by now: take it off the list"
    else:
        assert litellm_counts(WHOLE[name]) == mine


# --- what isn't an answer -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "thing",
    [None, "text", 7, object(), {}, [], {"usage": None}, {"usage": 3}, {"usage": {}}, {"model": "m"}, MagicMock()],
    ids=lambda value: type(value).__name__,
)
def test_unreadable_usage_is_a_problem_not_a_guess(thing):
    answer = read(thing)
    assert counts(answer) == {}
    assert answer.problem in {"usage_missing", "stream_usage_missing", "count_invalid"}
    assert "0 tokens" in problem_text(answer.problem)
    assert to_token_usage(answer, {}).model in {"unknown", "m"}


@pytest.mark.parametrize(
    ("usage", "problem", "stored"),
    [
        ({"prompt_tokens": -1, "completion_tokens": 2}, "count_invalid", {"output_tokens": 2}),
        ({"prompt_tokens": "many", "completion_tokens": 2}, "count_invalid", {"output_tokens": 2}),
        ({"prompt_tokens": True, "completion_tokens": 2}, "count_invalid", {"output_tokens": 2}),
        ({"prompt_tokens": 2.5, "completion_tokens": 2}, "count_invalid", {"output_tokens": 2}),
        ({"prompt_tokens": float("nan"), "completion_tokens": 2}, "count_invalid", {"output_tokens": 2}),
        ({"prompt_tokens": float("inf"), "completion_tokens": 2}, "count_invalid", {"output_tokens": 2}),
        ({"prompt_tokens": 2**31, "completion_tokens": 2}, "count_too_large", {"output_tokens": 2}),
        ({"prompt_tokens": 2**31 - 1, "completion_tokens": 2}, "count_too_large", {}),
        (
            {"prompt_tokens": 1, "completion_tokens": 2, "prompt_tokens_details": {"cached_tokens": 9}},
            "parts_exceed_input",
            {"input_tokens": 1, "output_tokens": 2},
        ),
        (
            {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 9},
            "total_mismatch",
            {"input_tokens": 1, "output_tokens": 2, "total_tokens": 9},
        ),
    ],
)
def test_counts_that_contradict_each_other_are_stored_with_a_mark(usage, problem, stored):
    answer = read({"model": "gpt-4o", "usage": usage})
    assert (answer.problem, counts(answer), answer.model) == (problem, stored, "gpt-4o")
    row = to_token_usage(answer, {})
    assert row.metadata["usage_problem"] == problem
    assert row.metadata["usage_source"] == "response:chat"
    assert row.metadata["usage_raw"]


def test_an_object_that_raises_when_looked_at_is_a_problem():
    class Trap:
        @property
        def usage_metadata(self) -> Any:
            raise RuntimeError("no")

    assert read(Trap()).problem == "response_unreadable"


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=True) | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(
                [
                    "usage",
                    "usageMetadata",
                    "response",
                    "message",
                    "model",
                    "id",
                    "error",
                    "cost",
                    "prompt_tokens",
                    "completion_tokens",
                    "total_tokens",
                    "input_tokens",
                    "output_tokens",
                    "promptTokenCount",
                    "cached_tokens",
                    "prompt_tokens_details",
                    "cache_read_input_tokens",
                    "iterations",
                    "service_tier",
                    "promptTokensDetails",
                    "seconds",
                    "type",
                ]
            ),
            inner,
            max_size=6,
        )
    ),
    max_leaves=30,
)


@given(JSON, st.booleans())
def test_any_response_gives_a_record_that_can_be_stored(thing, streamed):
    reader = ResponseReader()
    reader.add(thing)
    to_token_usage(reader.result(streamed=streamed), {})
    to_token_usage(read(thing), {})
