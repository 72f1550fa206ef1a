"""What the chunks of one response, and several responses that are read together, add up to."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import anthropic.types
import openai.types.chat
import pytest

from tracker.providers.responses import read
from tracker.providers.to_usage import to_token_usage


def anthropic_stream(*deltas: dict[str, Any]) -> list[Any]:
    message = {"id": "msg_1", "type": "message", "role": "assistant", "model": "claude-sonnet-4-5", "content": []}
    usage = {"input_tokens": 12000, "output_tokens": 1, "cache_read_input_tokens": 500}
    started = {"type": "message_start", "message": {**message, "usage": usage}}
    return [started, *({"type": "message_delta", "delta": {}, "usage": delta} for delta in deltas)]


def chat_chunk(response_id: str, usage: dict[str, Any] | None, model: str = "gpt-4o") -> dict[str, Any]:
    return {"id": response_id, "object": "chat.completion.chunk", "model": model, "choices": [], "usage": usage}


# --- one response -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("zero", [0, 0.0])
def test_a_zero_of_a_later_chunk_does_not_replace_a_count(zero):
    delta = {"input_tokens": zero, "cache_read_input_tokens": zero, "output_tokens": 15}
    answer = read(anthropic_stream(delta))
    assert answer.counts == {
        "input_tokens": 12500,
        "output_tokens": 15,
        "cache_read_input_tokens": 500,
    }
    assert answer.problem is None


def test_a_zero_in_an_official_librarys_object_does_not_replace_a_count_either():
    event = anthropic.types.RawMessageDeltaEvent.model_validate(
        {"type": "message_delta", "delta": {}, "usage": {"input_tokens": 0, "output_tokens": 15}}
    )
    assert read([*anthropic_stream(), event]).counts["input_tokens"] == 12500


def test_a_last_chunk_of_zeros_does_not_replace_the_usage():
    counts = {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15}
    chunks = [chat_chunk("c1", counts), chat_chunk("c1", dict.fromkeys(counts, 0))]
    expected = {"input_tokens": 10, "output_tokens": 5, "total_tokens": 15}
    assert read(chunks).counts == expected
    typed = [openai.types.chat.ChatCompletionChunk.model_validate({**chunk, "created": 1}) for chunk in chunks]
    assert read(typed).counts == expected


def test_later_counts_that_are_not_zero_replace_earlier_ones():
    answer = read(anthropic_stream({"input_tokens": 300, "output_tokens": 9}, {"output_tokens": 20}))
    assert (answer.counts["input_tokens"], answer.counts["output_tokens"]) == (800, 20)


# --- several responses --------------------------------------------------------------------------------------------


def gemini_chunk(response_id: str | None, given: int, made: int, model: str = "gemini-2.5-flash") -> dict[str, Any]:
    usage = {"promptTokenCount": given, "candidatesTokenCount": made, "totalTokenCount": given + made}
    return {"modelVersion": model, "responseId": response_id, "usageMetadata": usage}


def realtime(response_id: str, given: int, made: int) -> dict[str, Any]:
    usage = {"total_tokens": given + made, "input_tokens": given, "output_tokens": made}
    return {"type": "response.done", "event_id": "e", "response": {"id": response_id, "usage": usage}}


def live(given: int, made: int, **content: bool) -> dict[str, Any]:
    usage = {"promptTokenCount": given, "responseTokenCount": made, "totalTokenCount": given + made}
    return {"usageMetadata": usage} | ({"serverContent": content} if content else {})


def message(response_id: str, model: str, given: int, made: int, **usage: Any) -> dict[str, Any]:
    counts = {"input_tokens": given, "output_tokens": made, **usage}
    return {"id": response_id, "type": "message", "model": model, "usage": counts}


def converse(given: int, made: int) -> dict[str, Any]:
    return {
        "usage": {"inputTokens": given, "outputTokens": made, "totalTokens": given + made},
        "metrics": {"latencyMs": 5},
    }


TURN_COMPLETE = {"serverContent": {"turnComplete": True}}
EMBEDDINGS = {"object": "list", "data": [], "model": "text-embedding-3-small"}


@pytest.mark.parametrize(
    "responses",
    [
        [realtime("r1", 10, 20), realtime("r2", 20, 30)],
        [gemini_chunk("g1", 10, 5), gemini_chunk("g1", 10, 20), gemini_chunk("g2", 20, 9), gemini_chunk("g2", 20, 30)],
        [live(10, 20, turnComplete=True), live(20, 30, turnComplete=True)],
        [live(10, 20), TURN_COMPLETE, live(20, 30), TURN_COMPLETE],
        [TURN_COMPLETE, live(10, 20), TURN_COMPLETE, live(20, 30)],
        [live(10, 2), live(10, 20), TURN_COMPLETE, live(20, 30)],
        [message("msg_1", "claude-sonnet-4-5", 10, 20), message("msg_2", "claude-sonnet-4-5", 20, 30)],
        [
            chat_chunk("c1", {"prompt_tokens": 10, "completion_tokens": 20}),
            chat_chunk("c2", {"prompt_tokens": 20, "completion_tokens": 30}),
        ],
        [{"model": "llama3", "done": True, "prompt_eval_count": n, "eval_count": n + 10} for n in (10, 20)],
        [converse(10, 20), converse(20, 30)],
    ],
)
def test_the_responses_of_a_list_add_up(responses):
    answer = read(responses)
    assert (answer.counts["input_tokens"], answer.counts["output_tokens"]) == (30, 50)
    assert (answer.calls, answer.problem) == (2, None)
    assert "parts" not in answer.details


def test_embeddings_which_have_no_id_add_up():
    usages = [{**EMBEDDINGS, "usage": {"prompt_tokens": n, "total_tokens": n}} for n in (7, 8)]
    assert read(usages).counts["input_tokens"] == 15


def test_the_same_response_twice_counts_once():
    assert read([realtime("r1", 10, 20), realtime("r1", 10, 20)]).counts["input_tokens"] == 10


def test_a_server_that_gives_each_chunk_another_id_repeats_its_usage():
    chunks = [chat_chunk(f"c{made}", {"prompt_tokens": 10, "completion_tokens": made}) for made in (1, 2, 3)]
    answer = read(chunks)
    assert (answer.counts["input_tokens"], answer.counts["output_tokens"]) == (10, 3)


def test_responses_of_different_models_and_tiers_are_parts():
    small, large = message("msg_1", "claude-haiku-4-5", 10, 20), message("msg_2", "claude-opus-4-5", 100, 30)
    batch = message("msg_3", "claude-opus-4-5", 5, 6, service_tier="batch")
    answer = read([small, large, {"id": "c1", "model": "gpt-4o", "usage": {"prompt_tokens": 1}}, batch])
    assert answer.counts == {"input_tokens": 116, "output_tokens": 56}
    assert (answer.model, answer.provider, answer.calls) == ("claude-opus-4-5", "anthropic", 4)
    assert answer.details["parts"] == [
        {"model": "claude-opus-4-5", "counts": {"input_tokens": 100, "output_tokens": 30}},
        {"model": "claude-haiku-4-5", "counts": {"input_tokens": 10, "output_tokens": 20}},
        {"model": "gpt-4o", "counts": {"input_tokens": 1}, "provider": "openai"},
        {
            "model": "claude-opus-4-5",
            "counts": {"input_tokens": 5, "output_tokens": 6},
            "details": {"service_tier": "batch"},
        },
    ]


def test_a_response_with_a_problem_marks_the_sum():
    answer = read([realtime("r1", 10, 20), {"id": "r2", "usage": {"input_tokens": -1, "total_tokens": 5}}])
    assert (answer.problem, answer.raw) == ("count_invalid", None)
    assert answer.counts["input_tokens"] == 10


def test_a_row_of_several_calls_states_how_many():
    row = to_token_usage(read([realtime("r1", 10, 20), realtime("r2", 20, 30)]), {"model": "gpt-realtime"})
    assert (row.input_tokens, row.output_tokens, row.metadata["calls"]) == (30, 50, 2)


# --- usage by model -----------------------------------------------------------------------------------------------


AGENT_RESULT = {
    "type": "result",
    "session_id": "s",
    "total_cost_usd": 0.1,
    "usage": {"input_tokens": 5, "cache_read_input_tokens": 3, "output_tokens": 6, "service_tier": "standard"},
    "modelUsage": {
        "claude-opus-4-5": {"inputTokens": 10, "outputTokens": 20, "cacheReadInputTokens": 3, "webSearchRequests": 1},
        "claude-haiku-4-5": {"inputTokens": 1, "outputTokens": 2, "cacheCreationInputTokens": 4, "costUSD": 0.1},
    },
}


@pytest.mark.parametrize(
    "result",
    [
        AGENT_RESULT,  # claude -p --output-format json
        SimpleNamespace(usage=AGENT_RESULT["usage"], model_usage=AGENT_RESULT["modelUsage"]),  # its Python SDK
    ],
)
def test_usage_by_model_wins_over_the_usage_of_the_main_model(result):
    answer = read(result)
    assert answer.counts == {
        "input_tokens": 18,
        "output_tokens": 22,
        "cache_read_input_tokens": 3,
        "cache_write_input_tokens": 4,
    }
    assert (answer.model, answer.provider, answer.cost) == ("claude-opus-4-5", "anthropic", None)
    assert [part["model"] for part in answer.details["parts"]] == ["claude-opus-4-5", "claude-haiku-4-5"]
    assert answer.details["web_searches"] == 1


# --- Anthropic's names in the usage of others ---------------------------------------------------------------------


PYDANTIC_USAGE = {
    "input_tokens": 100,
    "cache_read_tokens": 60,
    "cache_write_tokens": 5,
    "output_tokens": 10,
    "details": {"reasoning_tokens": 5},
}


@pytest.mark.parametrize("provider_name", ["openai", "azure", None])
def test_the_response_of_pydantic_ai_is_read_with_its_cache(provider_name):
    response = {"usage": PYDANTIC_USAGE, "model_name": "gpt-4o", "provider_name": provider_name, "kind": "response"}
    for given in (response, SimpleNamespace(**{**response, "usage": SimpleNamespace(**PYDANTIC_USAGE)})):
        answer = read(given)
        assert answer.counts == {
            "input_tokens": 100,
            "output_tokens": 10,
            "cache_read_input_tokens": 60,
            "cache_write_input_tokens": 5,
            "reasoning_output_tokens": 5,
        }
        assert (answer.model, answer.provider) == ("gpt-4o", provider_name or "openai")


@pytest.mark.parametrize(
    ("response", "provider"),
    [
        ({"usage": {"input_tokens": 5, "output_tokens": 6}}, None),
        ({"usage": {"input_tokens": 5, "output_tokens": 6, "cached_tokens": 2}}, None),
        ({"type": "message", "usage": {"input_tokens": 5, "output_tokens": 6}}, "anthropic"),
        ({"id": "msg_1", "usage": {"input_tokens": 5, "output_tokens": 6}}, "anthropic"),
        ({"model": "claude-sonnet-4-5", "usage": {"input_tokens": 5, "output_tokens": 6}}, "anthropic"),
        ({"model": "our-model", "usage": {"input_tokens": 5, "output_tokens": 6}}, None),
    ],
)
def test_anthropic_is_the_provider_only_if_a_field_identifies_it(response, provider):
    answer = read(response)
    assert (answer.provider, answer.counts) == (provider, {**answer.counts, "input_tokens": 5, "output_tokens": 6})


# --- searches and modalities --------------------------------------------------------------------------------------


def test_only_searches_of_openais_search_tool_are_counted():
    actions = [{"type": "search"}, None, {"type": "open_page"}, {"type": "find_in_page"}]
    output = [{"type": "web_search_call"} | ({"action": action} if action else {}) for action in actions]
    usage = {"input_tokens": 1, "output_tokens": 1, "total_tokens": 2}
    assert read({"model": "gpt-5", "output": output, "usage": usage}).details == {"web_searches": 2}


@pytest.mark.parametrize(("model", "searches"), [("gemini-2.5-flash", 1), ("gemini-3-pro-preview", 3)])
def test_googles_searches_are_counted_as_they_are_billed(model, searches):
    grounding = {"groundingMetadata": {"webSearchQueries": ["a", "b", "c"]}}
    chunks = [{**gemini_chunk("g1", 1, 1, model), "candidates": [candidate]} for candidate in ({}, grounding, {})]
    assert read(chunks).details == {"web_searches": searches}


def test_the_embeddings_of_gemini_state_their_modalities():
    details = [{"modality": "IMAGE", "tokenCount": 258}, {"modality": "TEXT", "tokenCount": 4}]
    answer = read({"embedding": {}, "usageMetadata": {"promptTokenCount": 262, "promptTokenDetails": details}})
    assert (answer.counts["input_tokens"], answer.details) == (262, {"input_image_tokens": 258})


def test_stated_zeros_of_cached_modalities_are_kept():
    cached = {"cached_tokens": 64, "cached_tokens_details": {"text_tokens": 64, "audio_tokens": 0, "image_tokens": 0}}
    usage = {"total_tokens": 110, "input_tokens": 100, "output_tokens": 10}
    usage["input_token_details"] = {"audio_tokens": 30, **cached}
    assert read({"id": "r1", "usage": usage}).details == {"input_audio_tokens": 30, "cache_audio_read_tokens": 0}


def test_a_model_of_ollama_names_no_maker():
    response = {"model": "deepseek-r1:8b", "usage": {"prompt_tokens": 1, "completion_tokens": 2}}
    assert read(response).provider is None


# --- stated costs -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("model", "more", "cost"),
    [
        ("gpt-4o", {}, None),  # LiteLLM's proxy adds what it computed
        ("our-alias", {}, None),
        ("openai/gpt-4o", {}, 0.25),  # OpenRouter
        ("gpt-4o", {"is_byok": False}, 0.25),
        ("gpt-4o", {"cost_details": {"upstream_inference_cost": 0.2}}, 0.25),
        ("grok-4", {}, 0.25),
        ("gpt-4o", {"estimated_cost": 0.5}, 0.5),  # DeepInfra
    ],
)
def test_a_cost_counts_only_from_those_who_charge_it(model, more, cost):
    usage = {"prompt_tokens": 1, "completion_tokens": 2, "cost": 0.25, **more}
    assert read({"id": "c1", "model": model, "choices": [], "usage": usage}).cost == cost
