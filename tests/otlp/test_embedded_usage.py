"""Usage that a span contains only as text: Langfuse, MLflow, LangSmith, LiteLLM, the AI SDK, response bodies."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracker.otlp.decode import Span
from tracker.otlp.reading.span_reader import read_span
from tracker.usage import TokenUsage

END_NS = 1_767_225_600_000_000_000


def usage_of(attributes, scope="") -> TokenUsage:
    record = read_span(a_span(attributes, scope)).record
    assert record is not None
    return record.usage


def a_span(attributes, scope="") -> Span:
    return Span(
        "5b8efff798038103d269b633813fc60c", "0000000000000001", "", "call", END_NS - 1, END_NS, False, "", attributes,
        scope_name=scope,
    )  # fmt: skip


def counts_of(attributes) -> tuple[int, ...]:
    usage = usage_of(attributes)
    return (
        usage.input_tokens,
        usage.output_tokens,
        usage.cache_read_input_tokens,
        usage.cache_write_input_tokens,
        usage.reasoning_output_tokens,
    )


def langfuse(details, model="claude-sonnet-4-5", **more):
    return {
        "langfuse.observation.type": "generation",
        "langfuse.observation.model.name": model,
        "langfuse.observation.usage_details": json.dumps(details),
        **more,
    }


@pytest.mark.parametrize(
    ("details", "counts"),
    [
        ({"input": 100, "output": 50}, (100, 50, 0, 0, 0)),
        # Langfuse's keys do not overlap
        ({"input": 100, "output": 50, "cache_read_input_tokens": 2000}, (2100, 50, 2000, 0, 0)),
        ({"input": 100, "output": 50, "input_cached_tokens": 30, "output_reasoning_tokens": 20}, (130, 70, 30, 0, 20)),
        ({"input": 9, "output": 5, "input_cache_read": 3, "output_reasoning": 2, "total": 19}, (12, 7, 3, 0, 2)),
        ({"input": 1, "output": 5, "input_cache_creation": 7, "input_cache_read": 9}, (17, 5, 9, 7, 0)),
        # the total tells that the application's input includes its parts
        ({"input": 130, "output": 70, "input_cached_tokens": 30, "total": 200}, (130, 70, 30, 0, 0)),
        # a tier's prefix: flex is subtracted from the input, priority is not
        ({"input": 0, "output": 9, "input_flex": 100, "input_flex_cache_read": 30}, (130, 9, 30, 0, 0)),
        ({"input": 130, "output": 9, "input_priority": 100, "input_priority_cache_read": 30}, (130, 9, 30, 0, 0)),
        # cache writes by time to live, with and without their sum
        ({"input": 1, "output": 5, "ephemeral_5m_input_tokens": 7, "ephemeral_1h_input_tokens": 3}, (11, 5, 0, 10, 0)),
        (
            {
                "input": 1, "output": 5, "cache_creation_input_tokens": 10,
                "cache_creation_ephemeral_5m_input_tokens": 7, "cache_creation_ephemeral_1h_input_tokens": 3,
            },
            (11, 5, 0, 10, 0),
        ),
        # a provider's own usage object
        ({"prompt_tokens": 100, "completion_tokens": 50, "total_tokens": 150}, (100, 50, 0, 0, 0)),
        ({"promptTokens": 100, "completionTokens": 50, "totalTokens": 150}, (100, 50, 0, 0, 0)),
        ({"input_tokens": 1, "output_tokens": 5, "cache_read_input_tokens": 9}, (10, 5, 9, 0, 0)),
        ({"input_tokens": 9, "output_tokens": 5, "total_tokens": 14}, (9, 5, 0, 0, 0)),
    ],
)  # fmt: skip
def test_langfuses_usage_details_in_all_forms(details, counts):
    attributes = langfuse(details)
    assert counts_of(attributes) == counts
    assert "usage_problem" not in usage_of(attributes).metadata


def test_a_total_alone_is_the_input_of_an_embedding_and_marked_elsewhere():
    total = {"langfuse.observation.usage_details": '{"total": 40}'}
    assert counts_of({"langfuse.observation.type": "embedding", **total}) == (40, 0, 0, 0, 0)
    assert usage_of({"langfuse.observation.type": "generation", **total}).metadata["usage_problem"] == "total_mismatch"


def test_langfuses_costs_are_not_used_and_its_tier_is():
    attributes = langfuse(
        {"input": 1, "output": 2},
        **{
            "langfuse.observation.cost_details": '{"total": 3}',
            "langfuse.observation.model.parameters": '{"service_tier": "flex"}',
        },
    )
    usage = usage_of(attributes)
    assert (usage.cost, usage.metadata["usage"]) == (None, {"service_tier": "flex"})


@given(
    details=st.dictionaries(
        st.sampled_from(
            ["input", "output", "input_cached_tokens", "cache_read_input_tokens", "output_reasoning", "input_audio"]
        ),
        st.integers(0, 5000),
        min_size=1,
    ),
    total=st.integers(1, 30_000),
)
def test_a_langfuse_total_that_matches_neither_form_is_marked(details, total):
    usage = usage_of(langfuse({"input": 0, "output": 0, **details, "total": total}))
    plain = details.get("input", 0) + details.get("output", 0)
    if "usage_problem" not in usage.metadata:
        assert total in {plain, sum(details.values())}
    else:
        assert usage.metadata["usage_source"].startswith("otlp:langfuse/")


def mlflow(usage, provider="openai", **more):
    return {
        "mlflow.spanType": '"CHAT_MODEL"',
        "mlflow.llm.provider": f'"{provider}"',
        "mlflow.chat.tokenUsage": json.dumps(usage),
        **more,
    }


@pytest.mark.parametrize(
    ("usage", "provider", "counts"),
    [
        ({"input_tokens": 9, "output_tokens": 4, "total_tokens": 13}, "openai", (9, 4, 0, 0, 0)),
        (
            {
                "input_tokens": 2410, "output_tokens": 60, "total_tokens": 2470,
                "cache_read_input_tokens": 2000, "cache_creation_input_tokens": 300,
                "cache_creation_input_tokens_above_1hr": 100,
            },
            "anthropic",
            (2410, 60, 2000, 300, 0),
        ),
        ({"input_tokens": 100, "output_tokens": 50, "total_tokens": 950}, "gemini", (100, 850, 0, 0, 800)),
    ],
)  # fmt: skip
def test_mlflows_token_usage(usage, provider, counts):
    assert counts_of(mlflow(usage, provider)) == counts


def test_mlflows_one_hour_writes_are_a_detail():
    usage = mlflow(
        {
            "input_tokens": 9,
            "output_tokens": 1,
            "cache_creation_input_tokens": 5,
            "cache_creation_input_tokens_above_1hr": 2,
        },
        "anthropic",
    )
    assert usage_of(usage).metadata["usage"] == {"cache_write_1h_tokens": 2}


def test_the_providers_usage_has_priority_over_the_senders():
    body = {
        "id": "msg_1", "type": "message", "role": "assistant", "model": "claude-sonnet-4-5", "content": [],
        "usage": {"input_tokens": 10, "output_tokens": 5, "cache_read_input_tokens": 90},
    }  # fmt: skip
    attributes = {
        "openinference.span.kind": "LLM",
        "llm.token_count.prompt": 10,
        "llm.token_count.completion": 5,
        "output.value": json.dumps(body),
        "output.mime_type": "application/json",
    }
    usage = usage_of(attributes, "openinference.instrumentation.anthropic")
    assert (usage.input_tokens, usage.cache_read_input_tokens) == (100, 90)
    assert (usage.model, usage.metadata["response_id"]) == ("claude-sonnet-4-5", "msg_1")


def test_a_cost_in_the_providers_response_is_recorded():
    body = {
        "id": "gen-1", "object": "chat.completion", "model": "openai/gpt-5-mini", "choices": [],
        "usage": {
            "prompt_tokens": 9171, "completion_tokens": 113, "total_tokens": 9284,
            "cost": 0, "is_byok": True, "cost_details": {"upstream_inference_cost": 0.0360795},
        },
    }  # fmt: skip
    attributes = {"openinference.span.kind": "LLM", "llm.provider": "openrouter", "llm.cost.total": 5}
    text = {"output.value": json.dumps(body), "output.mime_type": "application/json"}
    usage = usage_of({**attributes, **text}, "openinference.instrumentation.openai")
    assert (str(usage.cost), usage.cost_source) == ("0.0360795", "provided")


LLM = {
    "openinference.span.kind": "LLM",
    "llm.model_name": "claude-sonnet-4-5",
    "llm.token_count.prompt": 5000,
    "llm.token_count.completion": 900,
    "llm.token_count.total": 5900,
}
CHAT = {"gen_ai.operation.name": "chat", "gen_ai.request.model": "claude-sonnet-4-5", "gen_ai.usage.input_tokens": 5000}
CHAT |= {"gen_ai.usage.output_tokens": 900, "gen_ai.usage.total_tokens": 5900}
MLFLOW = {
    "mlflow.spanType": '"LLM"',
    "mlflow.llm.model": '"claude-sonnet-4-5"',
    "mlflow.chat.tokenUsage": '{"input_tokens": 5000, "output_tokens": 900, "total_tokens": 5900}',
}
STATED = {
    "usage": {"prompt_tokens": 0, "completion_tokens": 1, "total_tokens": 1, "cost": 0.000001},
    "model": "gpt-4o-mini",
}
AS_RESPONSE = {**STATED, "id": "chatcmpl-1", "object": "chat.completion", "choices": []}
JSON_OUTPUT = {"output.mime_type": "application/json"}


@pytest.mark.parametrize(
    "attribute_value", [STATED, AS_RESPONSE, {"answer": AS_RESPONSE}, {"id": 1, "result": AS_RESPONSE}, [AS_RESPONSE]]
)
@pytest.mark.parametrize(
    ("scope", "attributes", "name", "note"),
    [
        ("openinference.instrumentation.litellm", LLM, "output.value", False),
        ("openinference.instrumentation.agno", {**LLM, **JSON_OUTPUT}, "output.value", False),
        ("", {**LLM, **JSON_OUTPUT}, "output.value", False),
        ("@arizeai/openinference-instrumentation-openai", LLM, "output.value", False),
        ("openinference.instrumentation.openai", {**LLM, **JSON_OUTPUT}, "output.value", True),
        ("openlit.otel.tracing", CHAT, "gen_ai.completion", False),
        ("langsmith", {**CHAT, "langsmith.span.kind": "llm"}, "gen_ai.completion", True),
        ("mlflow.tracing.provider", MLFLOW, "mlflow.spanOutputs", True),
        ("app", CHAT, "response_data", False),
        ("app", CHAT, "gcp.vertex.agent.llm_response", False),
    ],
)
def test_output_text_never_replaces_the_usage_of_the_attributes(attribute_value, scope, attributes, name, note):
    usage = usage_of({**attributes, name: json.dumps(attribute_value)}, scope)
    assert (usage.input_tokens, usage.output_tokens, usage.total_tokens) == (5000, 900, 5900)
    assert (usage.model, usage.cost, usage.metadata.get("response_id")) == ("claude-sonnet-4-5", None, None)
    assert (usage.metadata.get("usage_note") == "response_differs") == (note and attribute_value is AS_RESPONSE)


def test_output_text_is_not_the_usage_of_a_call_without_usage():
    attributes = {"output.value": json.dumps(AS_RESPONSE), "openinference.span.kind": "LLM"}
    assert read_span(a_span(attributes, "openinference.instrumentation.litellm")).kind == "unread"
    traced = {"mlflow.spanType": '"LLM"', "mlflow.spanOutputs": json.dumps(AS_RESPONSE)}
    assert read_span(a_span(traced, "mlflow.tracing.provider")).kind == "unread"


def test_only_the_top_level_of_a_response_is_read():
    body = {"id": "chatcmpl-1", "choices": [], "metadata": STATED, "response": AS_RESPONSE, "arguments": STATED}
    attributes = {"output.value": json.dumps(body), "openinference.span.kind": "LLM", **JSON_OUTPUT}
    assert read_span(a_span(attributes, "openinference.instrumentation.openai")).kind == "unread"


AI_SDK = {
    "ai.operationId": "ai.generateText.doGenerate",
    "ai.model.provider": "amazon-bedrock",
    "ai.model.id": "us.anthropic.claude-sonnet-4-5-20250929-v1:0",
    "ai.usage.promptTokens": 110,
    "ai.usage.completionTokens": 60,
}


def test_parts_in_provider_metadata_complete_the_attributes():
    metadata = {"bedrock": {"usage": {"cacheReadInputTokens": 40, "cacheWriteInputTokens": 20}}}
    assert counts_of({**AI_SDK, "ai.response.providerMetadata": json.dumps(metadata)}) == (170, 60, 40, 20, 0)


def test_the_tier_in_provider_metadata_is_a_detail():
    attributes = {
        **AI_SDK,
        "ai.model.provider": "openai.responses",
        "ai.model.id": "gpt-5",
        "ai.response.providerMetadata": '{"openai": {"responseId": "resp_1", "serviceTier": "priority"}}',
    }
    assert usage_of(attributes).metadata["usage"] == {"service_tier": "priority"}


def test_langsmiths_details_are_python_literals():
    attributes = {
        "langsmith.span.kind": "llm",
        "gen_ai.usage.input_tokens": 100,
        "gen_ai.usage.output_tokens": 20,
        "gen_ai.usage.total_tokens": 120,
        "gen_ai.usage.input_token_details": "{'cache_read': 30, 'audio': 0}",
        "gen_ai.usage.output_token_details": "{'reasoning': 7}",
    }
    assert counts_of(attributes) == (100, 20, 30, 0, 7)


GENAI = {"gen_ai.operation.name": "chat", "gen_ai.usage.input_tokens": 9, "gen_ai.usage.output_tokens": 4}


@pytest.mark.parametrize(
    "name", ["output.value", "metadata.usage_object", "ai.response.providerMetadata", "response_data"]
)
@pytest.mark.parametrize(
    "text", ["", "{", "usage", '{"usage": 3}', "[" * 100_000, '{"usage": {"prompt_tokens": "many"}}', "{'a': " * 200]
)
def test_a_text_that_cannot_be_parsed_is_ignored_and_the_attributes_are_read(name, text):
    assert counts_of({**GENAI, name: text}) == (9, 4, 0, 0, 0)


@given(
    st.text(max_size=60),
    st.sampled_from(["output.value", "langfuse.observation.usage_details", "mlflow.chat.tokenUsage"]),
)
def test_any_text_is_read_without_an_error(text, name):
    read_span(a_span({**GENAI, name: text}))


@pytest.mark.parametrize(
    ("attributes", "details"),
    [
        ({"openai.response.service_tier": "flex"}, {"service_tier": "flex"}),
        ({"gen_ai.openai.response.service_tier": "priority"}, {"service_tier": "priority"}),
        ({"anthropic.response.service_tier": "batch"}, {"service_tier": "batch"}),
        ({"openai.response.service_tier": "default"}, {}),
        ({"gen_ai.openai.response.service_tier": "None"}, {}),
        ({"gen_ai.openai.response.service_tier": "fp_44709d6fcb"}, {}),
        ({"gen_ai.response.service_tier": "null"}, {}),
        ({"openai.request.service_tier": "flex"}, {}),
        ({"gen_ai.usage.details.ephemeral_1h_input_tokens": 3}, {"cache_write_1h_tokens": 3}),
        ({"gen_ai.usage.audio.input_tokens": 5}, {"input_audio_tokens": 5}),
        ({"gen_ai.usage.details.cache_audio_read_tokens": 4}, {"cache_audio_read_tokens": 4}),
        ({"gen_ai.usage.cost": 3, "llm.cost.total": 3, "gen_ai.cost.total_cost": 3, "operation.cost": 3}, {}),
    ],
)  # fmt: skip
def test_price_details_are_recorded_and_computed_costs_are_not(attributes, details):
    usage = usage_of({**GENAI, **attributes})
    assert (usage.metadata.get("usage", {}), usage.cost) == (details, None)


def test_a_tiers_prefix_is_part_of_the_name_of_a_count():
    usage = usage_of({**GENAI, "gen_ai.usage.details.flex_cache_read_tokens": 3})
    assert (usage.cache_read_input_tokens, usage.metadata["usage"]) == (3, {"service_tier": "flex"})


def test_cache_writes_by_time_to_live_are_the_cache_write():
    attributes = {
        "gen_ai.usage.cache_creation.input_tokens": 0,
        "anthropic.usage.cache_creation.ephemeral_5m_input_tokens": 2,
        "anthropic.usage.cache_creation.ephemeral_1h_input_tokens": 3,
    }
    assert usage_of({**GENAI, **attributes}).cache_write_input_tokens == 5


def test_embeddings_with_only_a_total_are_input():
    attributes = {"openinference.span.kind": "EMBEDDING", "llm.token_count.total": 63}
    assert counts_of(attributes) == (63, 0, 0, 0, 0)
