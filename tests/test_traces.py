"""POST /v1/traces: each AI call becomes one row, and a span that sums its children becomes none."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest
from support import value
from traces_support import CODE, COLUMNS, END_NS, GENAI, TRACE, app_on, export, post, span, stored


@pytest.fixture
def app(database_url):
    return app_on(database_url)


# --- a span becomes a row -----------------------------------------------------------------------------------------


def test_a_genai_span_is_a_row(app, database_url):
    attributes = {
        **GENAI,
        "gen_ai.response.id": "resp_1",
        "gen_ai.conversation.id": "conv_1",
        "user.id": "u_42",
        "gen_ai.usage.cache_read.input_tokens": 30,
        "gen_ai.usage.cache_write.input_tokens": 10,
        "gen_ai.usage.reasoning.output_tokens": 5,
    }
    body = export(span(1, attributes), service_name="shop", deployment_environment_name="production")
    status, headers, answer = post(app, body)
    assert (status, json.loads(answer), headers["content-type"]) == (200, {}, "application/json")
    columns = (
        "model, operation, user_id, session_id, total_tokens, cache_read_input_tokens, cache_write_input_tokens,"
        " reasoning_output_tokens, processing_time, created_at, environment, delivery, instance_id, success"
    )
    assert stored(database_url, columns) == [
        (
            "gpt-4.1-2025-04-14", "chat", "u_42", "conv_1", 120, 30, 10, 5, 1500,
            datetime.fromtimestamp(END_NS / 1e9, UTC), "production", None, None, True,
        )
    ]  # fmt: skip
    assert value(database_url, "SELECT metadata FROM token_usage") == {
        "source": "otlp",
        "service": "shop",
        "trace_id": TRACE,
        "span_id": f"{1:016x}",
        "response_id": "resp_1",
        "request_model": "gpt-4.1",
    }


def test_deprecated_names_are_read(app, database_url):
    post(
        app,
        export(
            span(
                1,
                {
                    "gen_ai.system": "vertex_ai",
                    "gen_ai.request.model": "gemini-2.5-pro",
                    "gen_ai.usage.prompt_tokens": 7,
                    "gen_ai.usage.completion_tokens": 3,
                    "gen_ai.usage.cache_creation.input_tokens": 2,
                },
            )
        ),
    )
    assert stored(database_url, COLUMNS + ", cache_write_input_tokens") == [
        ("gemini-2.5-pro", "google", "chat", 7, 3, 2)
    ]


CLAUDE = {"gen_ai.provider.name": "anthropic", "gen_ai.response.model": "claude-sonnet-4-5"}


def test_an_unknown_sender_of_a_provider_that_excludes_cached_tokens_is_read_so_if_they_exceed_the_input(
    app, database_url
):
    post(app, export(span(1, {**GENAI, **CLAUDE, "gen_ai.usage.cache_read.input_tokens": 900})))
    assert stored(database_url, f"input_tokens, cache_read_input_tokens, {CODE}") == [(1000, 900, None)]


def test_parts_above_their_count_are_marked_where_the_provider_includes_them(app, database_url):
    post(app, export(span(1, {**GENAI, "gen_ai.usage.cache_read.input_tokens": 900})))
    columns = f"input_tokens, cache_read_input_tokens, {CODE}, metadata ->> 'usage_source'"
    assert stored(database_url, columns) == [(100, 0, "parts_exceed_input", "otlp:t/openai")]


def test_an_error_is_kept_by_its_type(app, database_url):
    failed = span(1, {**GENAI, "error.type": "RateLimitError"}, status={"code": 2, "message": "429"})
    post(app, export(failed))
    assert stored(database_url, "success, error_message") == [(False, "RateLimitError: 429")]


def test_spans_without_usage_are_accepted_and_let_go(app, database_url):
    assert post(app, export(span(1, {"http.request.method": "GET"}), span(2, {})))[0] == 200
    assert stored(database_url) == []


def test_an_export_sent_again_doubles_nothing(app, database_url):
    for _ in range(3):
        assert post(app, export(span(1, GENAI), span(2, GENAI)))[0] == 200
    assert len(stored(database_url)) == 2


# --- leaves alone -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("operation", ["invoke_agent", "execute_tool", "create_agent", "invoke_workflow"])
def test_a_span_that_sums_its_children_never_counts(app, database_url, operation):
    post(app, export(span(1, {**GENAI, "gen_ai.operation.name": operation})))
    assert stored(database_url) == []


def test_an_unknown_operation_counts(app, database_url):
    post(app, export(span(1, {**GENAI, "gen_ai.operation.name": "summarize_pdf"})))
    assert stored(database_url, "operation") == [("summarize_pdf",)]


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0)])
def test_only_the_leaf_of_a_chain_counts(app, database_url, order):
    chain = [span(1, GENAI), span(2, {}, parent=1), span(3, GENAI, parent=2)]
    post(app, export(*(chain[place] for place in order)))
    assert stored(database_url, "metadata ->> 'span_id'") == [(f"{3:016x}",)]


def test_a_parent_in_a_later_export_does_not_count(app, database_url):
    post(app, export(span(3, GENAI, parent=2)))
    post(app, export(span(2, {}, parent=1)))
    post(app, export(span(1, GENAI)))
    assert len(stored(database_url)) == 1


def test_siblings_all_count(app, database_url):
    post(app, export(span(1, GENAI), *(span(number, GENAI, parent=1) for number in range(2, 6))))
    assert len(stored(database_url)) == 4


def test_spans_that_go_round_in_circles_do_no_harm(app, database_url):
    assert post(app, export(span(1, GENAI, parent=2), span(2, GENAI, parent=1), span(3, GENAI, parent=3)))[0] == 200


def test_only_the_do_spans_of_the_ai_sdk_count(app, database_url):
    usage = {"ai.usage.inputTokens": 9, "ai.usage.outputTokens": 2, "ai.model.id": "gemini-2.5-flash"}
    outer = {**usage, "ai.operationId": "ai.generateText"}
    inner = {**usage, "ai.operationId": "ai.generateText.doGenerate", "ai.telemetry.functionId": "summary"}
    # The outer one alone: an app may filter, and its numbers may be the sum of several steps.
    post(app, export(span(1, outer, name="ai.generateText")))
    assert stored(database_url) == []
    post(app, export(span(2, {**inner, "ai.model.provider": "google.generative-ai"}, parent=1)))
    assert stored(database_url) == [("gemini-2.5-flash", "google", "summary", 9, 2)]


def test_a_huge_batch_is_stored_whole(app, database_url):
    spans = [span(number, GENAI, parent=number // 3 or None) for number in range(1, 5001)]
    assert post(app, export(*spans))[0] == 200
    assert len(stored(database_url)) == 5000 - 5000 // 3
