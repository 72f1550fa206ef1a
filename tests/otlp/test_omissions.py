"""Rows of spans that are known not to state all counts are marked with a note."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from test_span_reader import a_span, usage_of

from tracker.otlp.reading.sender_omissions import OMISSIONS
from tracker.otlp.reading.senders import SENDERS
from tracker.otlp.storing.call_report import row_report
from tracker.otlp.storing.span_dedup import merge_rows
from tracker.providers.usage_notes import UNCERTAIN_NOTES, USAGE_NOTES, note_text

INPUT, OUTPUT = "gen_ai.usage.input_tokens", "gen_ai.usage.output_tokens"
BEDROCK = {"gen_ai.operation.name": "chat", "gen_ai.provider.name": "aws.bedrock", INPUT: 101, OUTPUT: 51}
CLAUDE = {"gen_ai.request.model": "us.anthropic.claude-sonnet-4-5-20250929-v1:0"}
READ, WRITE = "gen_ai.usage.cache_read.input_tokens", "gen_ai.usage.cache_creation.input_tokens"
SDK = {"ai.model.provider": "amazon-bedrock", "ai.model.id": CLAUDE["gen_ai.request.model"]}
OBJECT = {**SDK, "ai.operationId": "ai.generateObject.doGenerate"}
STREAM = {
    **SDK,
    "ai.operationId": "ai.streamObject.doStream",
    "ai.usage.inputTokens": 2412,
    "ai.usage.outputTokens": 52,
    "ai.usage.totalTokens": 2464,
    "ai.usage.cachedInputTokens": 2003,
}
PROMPT = {"ai.usage.promptTokens": 101, "ai.usage.completionTokens": 51}
OPENAI = {"gen_ai.operation.name": "chat", "gen_ai.provider.name": "openai", INPUT: 1001, OUTPUT: 201}
ANTHROPIC = {"gen_ai.operation.name": "chat", "gen_ai.provider.name": "anthropic", INPUT: 2411, OUTPUT: 52}
OPENLLMETRY, BOTOCORE = "opentelemetry.instrumentation.", "opentelemetry.instrumentation.botocore.bedrock-runtime"


@pytest.mark.parametrize(
    ("scope", "attributes", "note"),
    [
        ("ai", {**OBJECT, **PROMPT, "ai.request.headers.user-agent": "ai/5.0.277"}, "cache_not_stated"),
        ("ai", {**OBJECT, **PROMPT, "ai.request.headers.user-agent": "ai/6.0.326"}, "parts_not_stated"),
        ("ai", STREAM, "cache_counting_unknown"),
        ("ai", {**STREAM, "ai.usage.inputTokens": 102, "ai.usage.totalTokens": 154}, None),
        (OPENLLMETRY + "bedrock", {**BEDROCK, **CLAUDE}, "cache_not_stated"),
        (OPENLLMETRY + "bedrock", {**BEDROCK, **CLAUDE, READ: 0, WRITE: 0}, None),
        (OPENLLMETRY + "bedrock", {**BEDROCK, "gen_ai.request.model": "meta.llama3-8b"}, None),
        (BOTOCORE, {**BEDROCK, **CLAUDE}, "cache_not_stated"),
        (OPENLLMETRY + "genai.bedrock", {**BEDROCK, **CLAUDE, READ: 7}, "cache_not_stated"),
        (OPENLLMETRY + "openai_v2", OPENAI, "parts_not_stated"),
        (OPENLLMETRY + "openai.v1", OPENAI, None),
        (OPENLLMETRY + "openai.v1", {**OPENAI, "gen_ai.is_streaming": True}, "reasoning_not_stated"),
        (OPENLLMETRY + "langchain", {**ANTHROPIC, READ: 3, WRITE: 0}, "parts_not_stated"),
        ("semantic_kernel.utils", OPENAI, "parts_not_stated"),
        ("agent_framework", OPENAI, None),
        (OPENLLMETRY + "anthropic", {**ANTHROPIC, "gen_ai.is_streaming": True}, "output_may_include_stream_start"),
        (OPENLLMETRY + "anthropic", {**ANTHROPIC, "gen_ai.is_streaming": False}, None),
    ],
)
def test_a_span_that_does_not_state_a_count_is_marked(scope, attributes, note):
    usage = usage_of(a_span(attributes, scope=scope))
    assert usage.metadata.get("usage_note") == note
    assert "usage_problem" not in usage.metadata


def test_a_body_with_the_providers_usage_needs_no_note():
    body = json.dumps(
        {"anthropic": {"usage": {"input_tokens": 101, "output_tokens": 51, "cache_read_input_tokens": 7}}}
    )
    attributes = {
        "ai.operationId": "ai.generateText.doGenerate",
        "ai.model.provider": "anthropic.messages",
        "ai.response.providerMetadata": body,
        **PROMPT,
    }
    usage = usage_of(a_span(attributes, scope="ai"))
    assert (usage.input_tokens, usage.metadata.get("usage_note")) == (108, None)


@pytest.mark.parametrize("first_ends_later", [True, False])
def test_a_row_without_a_note_wins_over_one_with(first_ends_later):
    noted = usage_of(a_span({**ANTHROPIC, "gen_ai.response.id": "msg_1"}, scope=OPENLLMETRY + "anthropic")).as_row()
    exact = usage_of(
        a_span({**ANTHROPIC, OUTPUT: 51, "gen_ai.response.id": "msg_1"}, scope="com.anthropic.sdk.python")
    ).as_row()
    rows = [(row_report(row, scope, "", ""), row) for row, scope in ((noted, "one"), (exact, "other"))]
    merged = merge_rows(reversed(rows) if first_ends_later else rows)
    assert (merged["output_tokens"], merged["metadata"].get("usage_note")) == (51, None)


def test_each_code_has_a_sentence_and_is_documented():
    docs = (Path(__file__).parent.parent.parent / "docs" / "sources.md").read_text(encoding="utf-8")
    assert OMISSIONS.keys() <= {sender.name for sender in SENDERS}
    assert USAGE_NOTES > UNCERTAIN_NOTES
    for code in USAGE_NOTES:
        text = note_text(code)
        assert f"`{code}`" in docs
        assert note_text(code) == text
        assert text.endswith(".")
    assert note_text("of a newer version") == "of a newer version"
