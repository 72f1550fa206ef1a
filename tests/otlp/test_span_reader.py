"""read_span: captured spans of real instrumentations become the calls that the API received."""

from __future__ import annotations

import pytest
from span_cases import Case, captured_cases, count_cases, instrumentation_cases, users_case

from tracker.otlp.decode import Span
from tracker.otlp.reading.span_reader import read_span
from tracker.usage import TOKEN_COLUMNS, TokenUsage

CAPTURED = captured_cases()
COUNTED = count_cases()
INSTRUMENTED = instrumentation_cases()
TRACE, SPAN, END_NS = "5b8efff798038103d269b633813fc60c", "0000000000000001", 1_767_225_600_000_000_000
# Spans of these cases that state less than the API did.
LACKING = {"03-anthropic-sdk-and-openllmetry-langchain-twice": {"cache_write_input_tokens"}}


def a_span(attributes, *, name="chat", scope="", version="", **fields) -> Span:
    return Span(
        **{
            "trace_id": TRACE,
            "span_id": SPAN,
            "parent_id": "",
            "name": name,
            "start_ns": END_NS - 1_500_000_000,
            "end_ns": END_NS,
            "failed": False,
            "message": "",
            "attributes": attributes,
            "scope_name": scope,
            "scope_version": version,
            **fields,
        }
    )


def usage_of(span: Span) -> TokenUsage:
    record = read_span(span).record
    assert record is not None
    return record.usage


def calls(spans) -> list[TokenUsage]:
    return [reading.record.usage for span in spans if (reading := read_span(span)).record]


@pytest.mark.parametrize("case", CAPTURED, ids=lambda case: case.name)
def test_a_captured_span_is_read_as_the_api_answered(case: Case):
    usages = calls(case.spans)
    assert usages
    # The cases of one call in two spans expect one row; the case of LangChain expects only its first call.
    once = len(case.expected) == 1
    for number, usage in enumerate(usages[:1] if "langchain" in case.name and once else usages):
        expected = case.expected[0 if once else number]
        compared = expected.keys() - (LACKING.get(case.name, set()) if number == 0 else set())
        assert {column: getattr(usage, column) for column in compared} == {c: expected[c] for c in compared}
        assert "usage_problem" not in usage.metadata
        assert usage.provider in {"anthropic", "aws", "google", "openai"}


@pytest.mark.parametrize("case", COUNTED, ids=lambda case: case.name)
def test_a_reported_span_is_counted_right(case: Case):
    (usage,) = calls(case.spans)
    (expected,) = case.expected
    columns = expected.keys() - {"cost", "details"}
    assert {column: getattr(usage, column) for column in columns} == {column: expected[column] for column in columns}
    assert usage.metadata.get("usage", {}) == expected.get("details", {})
    assert "usage_problem" not in usage.metadata


def test_reasoning_that_only_the_total_states_is_noted():
    case = next(case for case in COUNTED if case.name.startswith("03b"))
    (usage,) = calls(case.spans)
    assert (usage.reasoning_output_tokens, usage.metadata["usage_note"]) == (800, "reasoning_from_total")


@pytest.mark.parametrize(
    ("name", "user", "session"),
    [
        ("traceloop", "u_9", "s_9"),
        ("langsmith", "u_9", "s_9"),
        ("mastra", "u_m", "s_m"),
        ("ai_sdk7_legacy", "u_7", None),
    ],
)
def test_the_user_and_session_of_an_instrumentation_are_read(name: str, user: str, session: str | None):
    (usage,) = calls(dict(users_case())[name].spans)
    assert (usage.user_id, usage.session_id) == (user, session)


CALL = {"gen_ai.operation.name": "chat", "gen_ai.request.model": "gpt-4.1", "gen_ai.usage.input_tokens": 1}


@pytest.mark.parametrize(
    ("attributes", "user", "session"),
    [
        ({"user.id": "u", "session.id": "s"}, "u", "s"),
        ({"enduser.id": "u", "gen_ai.conversation.id": "s"}, "u", "s"),
        ({"llm.user": "u"}, "u", None),
        ({"gen_ai.request.user": "u"}, "u", None),
        ({"langfuse.user.id": "u", "langfuse.session.id": "s"}, "u", "s"),
        ({"mlflow.trace.user": '"u"', "mlflow.trace.session": '"s"'}, "u", "s"),
        ({"ai.telemetry.metadata.userId": "u", "ai.telemetry.metadata.sessionId": "s"}, "u", "s"),
        ({"ai.telemetry.metadata.user_id": 7, "ai.telemetry.metadata.thread_id": 8}, "7", "8"),
        ({"ai.settings.context.userId": "u", "ai.settings.context.conversationId": "s"}, "u", "s"),
        ({"traceloop.association.properties.user_id": "u"}, "u", None),
        ({"langsmith.metadata.user_id": "u", "langsmith.metadata.thread_id": "s"}, "u", "s"),
        ({"metadata": '{"user_id": "u", "session_id": "s"}'}, "u", "s"),
        ({"metadata": "{'userId': 'u'}"}, "u", None),
        ({"metadata": "{broken"}, "anonymous", None),
        ({"metadata.user_api_key_end_user_id": "u", "metadata.user_api_key_user_id": "key"}, "u", None),
        ({"user.id": "", "llm.user": True}, "anonymous", None),
        ({"langsmith.trace.session_name": "default"}, "anonymous", None),
        ({"user.id": 42, "session.id": 7}, "42", "7"),
        ({"user.id": 0, "session.id": 0}, "0", "0"),
        ({"enduser.id": 42.0, "gen_ai.conversation.id": 2**53}, "42", str(2**53)),
        ({"langfuse.user.id": 42, "langfuse.session.id": 7}, "42", "7"),
        ({"user.id": "undefined", "session.id": "null"}, "anonymous", None),
        ({"user.id": "None", "enduser.id": "u", "session.id": "NULL", "langfuse.session.id": "s"}, "u", "s"),
        ({"user.id": '"null"', "metadata": '{"user_id": "undefined", "session_id": null}'}, "anonymous", None),
        ({"user.id": True, "session.id": False}, "anonymous", None),
    ],
)
def test_users_and_sessions_of_relatives(attributes, user, session):
    usage = usage_of(a_span({**CALL, **attributes}))
    assert (usage.user_id, usage.session_id) == (user, session)


BEDROCK = "us.anthropic.claude-sonnet-4-5-20250929-v1:0"

# --- provider, model, operation -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("attributes", "provider", "model"),
    [
        ({"gen_ai.system": "strands-agents", "gen_ai.request.model": "gpt-5-mini"}, "openai", "gpt-5-mini"),
        ({"gen_ai.system": "langchain", "gen_ai.request.model": "claude-sonnet-4-5"}, "anthropic", "claude-sonnet-4-5"),
        ({"gen_ai.system": "litellm", "gen_ai.request.model": "mystery-1"}, None, "mystery-1"),
        ({"gen_ai.provider.name": "microsoft.agent_framework", "gen_ai.request.model": "gpt-4o"}, "openai", "gpt-4o"),
        ({"gen_ai.system": "gcp.vertex.agent", "gen_ai.request.model": "openai/gpt-4o"}, "openai", "gpt-4o"),
        (
            {"gen_ai.system": "semantic_kernel", "gen_ai.request.model": "x", "server.address": "api.groq.com"},
            "groq",
            "x",
        ),
        (
            {"gen_ai.system": "openai", "gen_ai.request.model": "m", "server.address": "openrouter.ai"},
            "openrouter",
            "m",
        ),
        ({"gen_ai.system": "openai", "gen_ai.request.model": "m", "server.address": "127.0.0.1"}, "openai", "m"),
        ({"gen_ai.system": "openai", "url.full": "https://x.openai.azure.com/openai/v1"}, "azure", "unknown"),
        (
            {"gen_ai.system": "gcp.vertex_ai", "gen_ai.request.model": "publishers/google/models/gemini-2.5-pro"},
            "google",
            "gemini-2.5-pro",
        ),
        (
            {"ai.model.provider": "google.vertex.chat", "ai.model.id": "models/gemini-2.5-flash"},
            "google",
            "gemini-2.5-flash",
        ),
        ({"ai.model.provider": "vertex.anthropic.messages", "ai.model.id": "claude-opus-4"}, "google", "claude-opus-4"),
        ({"ai.model.provider": "amazon-bedrock", "ai.model.id": BEDROCK}, "aws", BEDROCK),
        ({"gen_ai.request.model": BEDROCK}, "aws", BEDROCK),
        (
            {
                "gen_ai.system": "azure.ai.openai",
                "gen_ai.request.model": "deployment",
                "gen_ai.response.model": "gpt-4o",
            },
            "azure",
            "gpt-4o",
        ),
        (
            {"gen_ai.system": "openrouter", "gen_ai.request.model": "anthropic/claude-sonnet-4.5"},
            "openrouter",
            "anthropic/claude-sonnet-4.5",
        ),
        ({"gen_ai.system": "groq", "gen_ai.request.model": "openai/gpt-oss-120b"}, "groq", "openai/gpt-oss-120b"),
        ({"llm.invocation_parameters": '{"model": "gpt-4o-mini"}'}, "openai", "gpt-4o-mini"),
        ({"mlflow.llm.model": '"gpt-4o"', "mlflow.llm.provider": '"openai"'}, "openai", "gpt-4o"),
        ({"span.type": "llm_request", "model": "claude-sonnet-4-5"}, "anthropic", "claude-sonnet-4-5"),
        ({}, None, "unknown"),
    ],
)
def test_a_provider_is_no_framework_and_a_resource_name_is_its_model(attributes, provider, model):
    usage = usage_of(a_span({"gen_ai.usage.input_tokens": 1, "input_tokens": 1, **attributes}))
    assert (usage.provider, usage.model) == (provider, model)


@pytest.mark.parametrize(
    ("attributes", "operation"),
    [
        ({"gen_ai.operation.name": "generate_content"}, "generate_content"),
        ({"gen_ai.operation.name": "embedding"}, "embeddings"),
        ({"gen_ai.operation.name": "chat.completions"}, "chat"),
        ({"gen_ai.operation.name": "responses"}, "chat"),
        ({"gen_ai.operation.name": "summarize_pdf"}, "summarize_pdf"),
        ({"ai.operationId": "ai.embed.doEmbed"}, "embeddings"),
        ({"ai.operationId": "ai.generateText.doGenerate"}, "chat"),
        ({"ai.operationId": "ai.generateText.doGenerate", "ai.telemetry.functionId": "summary"}, "summary"),
        ({"openinference.span.kind": "EMBEDDING"}, "embeddings"),
        ({"openinference.span.kind": "LLM"}, "chat"),
        ({"langfuse.observation.type": "embedding"}, "embeddings"),
        ({"mlflow.spanType": '"CHAT_MODEL"'}, "chat"),
        ({"llm.request.type": "completion"}, "text_completion"),
        ({}, "chat"),
    ],
)
def test_operation_names_follow_the_conventions(attributes, operation):
    names = ("gen_ai.usage.input_tokens", "llm.token_count.prompt")
    assert usage_of(a_span({**dict.fromkeys(names, 1), **attributes})).operation == operation


# --- what is a call -----------------------------------------------------------------------------------------------

TOKENS = {
    "gen_ai.usage.input_tokens": 9,
    "gen_ai.usage.output_tokens": 2,
    "llm.token_count.prompt": 9,
    "llm.token_count.completion": 2,
    "gen_ai.request.model": "gpt-4.1",
}
OTHERS = [
    *({"openinference.span.kind": kind} for kind in ("CHAIN", "AGENT", "TOOL", "RETRIEVER", "RERANKER", "GUARDRAIL")),
    {"openinference.span.kind": "EVALUATOR"},
    *({"langfuse.observation.type": kind} for kind in ("span", "agent", "tool", "chain", "retriever", "event")),
    *({"mlflow.spanType": kind} for kind in ("CHAIN", '"AGENT"', "TOOL", "RETRIEVER")),
    *({"gen_ai.operation.name": name} for name in ("invoke_agent", "execute_tool", "agent_step", "invoke_workflow")),
    {"traceloop.span.kind": "workflow"},
    {"langsmith.span.kind": "chain"},
    {"ai.operationId": "ai.generateText"},
    {"ai.operationId": "ai.toolCall"},
]


@pytest.mark.parametrize("attributes", OTHERS, ids=str)
@pytest.mark.parametrize("failed", [False, True])
def test_only_calls_count_even_if_other_spans_state_tokens(attributes, failed):
    assert read_span(a_span({**TOKENS, **attributes}, failed=failed)).kind == "other"
    assert read_span(a_span({**attributes, "gen_ai.request.model": "gpt-4.1"}, failed=failed)).kind == "other"


CALLS = [
    *({"gen_ai.operation.name": name} for name in ("chat", "text_completion", "generate_content", "embeddings")),
    {"openinference.span.kind": "LLM"},
    {"openinference.span.kind": "EMBEDDING"},
    {"langfuse.observation.type": "generation"},
    {"langfuse.observation.type": "embedding"},
    *({"mlflow.spanType": kind} for kind in ("LLM", "CHAT_MODEL", "EMBEDDING")),
    {"ai.operationId": "ai.streamText.doStream"},
    {"ai.operationId": "ai.embedMany.doEmbed"},
]


@pytest.mark.parametrize("attributes", CALLS, ids=str)
def test_a_failed_call_without_usage_is_a_failure_and_a_successful_one_is_unread(attributes):
    named = {**attributes, "gen_ai.request.model": "gpt-4.1"}
    reading = read_span(a_span(named, failed=True, message="RateLimitError: 429 for sk-proj-abcdefghijklmnop1234"))
    assert reading.kind == "failure"
    assert reading.record
    usage = reading.record.usage
    assert (usage.success, usage.error_message) == (False, "RateLimitError: 429 for ***")
    assert (usage.model, usage.provider, usage.total_tokens) == ("gpt-4.1", "openai", 0)
    assert read_span(a_span(named)).kind == "unread"


def test_a_failed_call_with_usage_counts_as_failed():
    reading = read_span(a_span({**CALL, "error.type": "ContentFilter"}, failed=True, message="blocked"))
    assert reading.kind == "usage"
    assert reading.record
    assert (reading.record.usage.success, reading.record.usage.error_message) == (False, "ContentFilter: blocked")


@pytest.mark.parametrize(
    ("fields", "attributes", "message"),
    [
        ({"failed": True}, {"error.type": "timeout"}, "timeout"),
        ({"failed": True, "message": "m"}, {"error.type": "timeout"}, "timeout: m"),
        ({"failed": True, "message": "openai.APIError: m"}, {"error.type": "openai.APIError"}, "openai.APIError: m"),
        ({"exception_type": "openai.APIError", "exception_message": "m\nTraceback"}, {}, "openai.APIError: m"),
        ({}, {"http.response.status_code": 429}, "HTTP 429"),
        ({}, {"langfuse.observation.level": "ERROR", "langfuse.observation.status_message": "m"}, "m"),
        ({}, {"gen_ai.response.finish_reasons": "interrupted"}, "The response was interrupted"),
        ({"failed": True}, {}, "error"),
    ],
)
def test_the_error_of_a_failed_call(fields, attributes, message):
    reading = read_span(a_span({"gen_ai.operation.name": "chat", **attributes}, **fields))
    assert reading.kind == "failure"
    assert reading.record
    assert (reading.record.usage.error_message or "").startswith(message)


def test_a_call_that_was_retried_is_a_success():
    retried = a_span(CALL, exception_type="RateLimitError", exception_message="429")
    assert usage_of(retried).success


def test_a_span_without_a_kind_that_names_a_model_is_unread():
    assert read_span(a_span({"gen_ai.request.model": "gpt-4.1"})).kind == "unread"
    assert read_span(a_span({"http.request.method": "GET"})).kind == "other"


PARTS = TOKEN_COLUMNS[2:]


@pytest.mark.parametrize("document", INSTRUMENTED, ids=lambda document: document["name"])
def test_the_spans_of_an_instrumentation_contain_each_call_as_the_api_answered(document):
    """Which of two spans of one call counts is decided when they are stored; here each call must be among them."""
    usages = [(usage.input_tokens, usage.output_tokens, usage) for usage in calls(document["read"])]
    for expected in document["expected"]:
        lacks = set(expected.get("lacks", ()))
        excluded = expected.get("provider") in {"anthropic", "aws"} and any("cache" in name for name in lacks)
        if excluded or lacks & {"call", "usage", "input_tokens", "output_tokens"}:
            continue
        matching = [
            usage for *counts, usage in usages if counts == [expected["input_tokens"], expected["output_tokens"]]
        ]
        assert matching
        for part in PARTS:
            stated = {getattr(usage, part) for usage in matching} - {0}
            assert stated <= {expected[part]}


def test_the_names_of_older_openllmetry_versions_are_read():
    attributes = {
        "llm.request.type": "chat",
        "llm.vendor": "OpenAI",
        "llm.request.model": "gpt-5-mini",
        "llm.response.model": "gpt-5-mini-2025-08-07",
        "llm.user": "u_1",
        "llm.usage.prompt_tokens": 1002,
        "llm.usage.completion_tokens": 202,
        "llm.usage.total_tokens": 1204,
        "llm.usage.cache_read_input_tokens": 517,
        "llm.usage.cache_creation_input_tokens": 11,
        "llm.usage.reasoning_tokens": 67,
    }
    usage = usage_of(a_span(attributes, scope="opentelemetry.instrumentation.openai.v1", version="0.10.0"))
    assert (usage.provider, usage.model, usage.user_id) == ("openai", "gpt-5-mini-2025-08-07", "u_1")
    assert (usage.input_tokens, usage.output_tokens, usage.total_tokens) == (1002, 202, 1204)
    assert (usage.cache_read_input_tokens, usage.cache_write_input_tokens) == (517, 11)
    assert usage.reasoning_output_tokens == 67
    assert usage.metadata["request_model"] == "gpt-5-mini"


TOKENS = {"gen_ai.request.model": "m", "gen_ai.usage.input_tokens": 30, "gen_ai.usage.output_tokens": 4}


@pytest.mark.parametrize("operation", ["rerank", "Rerank", "retrieval", "guardrail", "vectordb", "plan", "score"])
def test_any_other_operation_with_tokens_is_a_call(operation):
    usage = usage_of(a_span({**TOKENS, "gen_ai.operation.name": operation}))
    assert (usage.operation, usage.input_tokens, usage.output_tokens) == (operation, 30, 4)


@pytest.mark.parametrize("operation", ["invoke_agent", "create_agent", "execute_tool", "invoke_workflow", "agent_step"])
def test_a_summary_of_other_spans_is_no_call(operation):
    assert read_span(a_span({**TOKENS, "gen_ai.operation.name": operation})).kind == "other"


def test_reranking_is_counted_by_its_input():
    rerank = {"gen_ai.operation.name": "rerank", "gen_ai.request.model": "rerank-2"}
    usage = usage_of(a_span({**rerank, "gen_ai.usage.total_tokens": 40}))
    assert (usage.input_tokens, usage.output_tokens, usage.metadata.get("usage_problem")) == (40, 0, None)
    assert read_span(a_span(rerank)).kind == "other"


def test_tokens_that_are_not_understood_are_reported_as_unread():
    attributes = {"gen_ai.operation.name": "guardrail", "gen_ai.usage.total_tokens": 40}
    assert read_span(a_span(attributes)).kind == "unread"


USAGE = {"gen_ai.operation.name": "chat", "gen_ai.usage.input_tokens": 5, "gen_ai.usage.output_tokens": 7}
# The span lasts 1.5 s.
FIRST_TOKENS = {
    "OpenTelemetry": ({"gen_ai.response.time_to_first_chunk": 0.25}, 250),
    "OpenLIT": ({"gen_ai.server.time_to_first_token": 0.25}, 250),
    "AI SDK": ({"ai.response.msToFirstChunk": 250.4}, 250),
    "Langfuse": ({"langfuse.observation.completion_start_time": '"2025-12-31T23:59:58.750Z"'}, 250),
    "a text": ({"gen_ai.response.time_to_first_chunk": "0.25"}, 250),
    "another unit": ({"gen_ai.response.time_to_first_token": 250_000_000}, None),
    "not a number": ({"gen_ai.response.time_to_first_chunk": "soon"}, None),
    "infinite": ({"gen_ai.response.time_to_first_chunk": float("inf")}, None),
    "before the start": ({"langfuse.observation.completion_start_time": "2025-12-31T23:00:00Z"}, None),
    "none": ({}, None),
}


@pytest.mark.parametrize("name", FIRST_TOKENS)
def test_the_time_to_the_first_token_is_read(name: str):
    attributes, expected = FIRST_TOKENS[name]
    assert usage_of(a_span(USAGE | attributes)).time_to_first_token_ms == expected
