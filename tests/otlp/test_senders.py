"""The table of senders: what each one's counts include, and that no contradiction is stored without a mark."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tracker.otlp.decode import Span
from tracker.otlp.reading.senders import SENDERS, Parts, Sender, Total, find_sender, sender_named
from tracker.otlp.reading.span_reader import read_span, reread_attributes
from tracker.providers.consistency import USAGE_PROBLEMS
from tracker.usage import TokenUsage

END_NS = 1_767_225_600_000_000_000
MODELS = {
    "anthropic": "claude-sonnet-4-5",
    "openai": "gpt-5-mini",
    "google": "gemini-2.5-pro",
    "aws": "amazon.nova-pro",
}
# Attributes by which a span is recognised as its sender's, besides the scope.
MARKS = {
    "ai-sdk-6": {"ai.operationId": "ai.x.doX", "ai.request.headers.user-agent": "ai/6.0.1"},
    "ai-sdk-5": {"ai.operationId": "ai.x.doX", "ai.request.headers.user-agent": "ai/5.0.1"},
    "claude-code": {"span.type": "llm_request"},
    "openinference": {"openinference.span.kind": "LLM"},
    "openinference-bedrock": {"openinference.span.kind": "LLM"},
    "openinference-agno": {"openinference.span.kind": "LLM"},
    "otel-google-genai": {"gen_ai.operation.name": "interactions.create"},
    "google-adk": {"gen_ai.usage.experimental.reasoning_tokens": 0},
    "sentry": {"gen_ai.usage.input_tokens.cached": 0},
    "mlflow": {"mlflow.chat.tokenUsage": "x"},
    "openlit": {"telemetry.sdk.name": "openlit"},
}


def a_span(sender: Sender, provider: str, counts: dict[str, int]) -> Span:
    """A span of a sender that states these counts under the sender's own names."""
    attributes = {"gen_ai.provider.name": provider, "gen_ai.response.model": MODELS.get(provider, "m")}
    attributes |= MARKS.get(sender.name, {})
    attributes |= {sender.counts[name][0]: value for name, value in counts.items() if sender.counts[name]}
    scope = sender.scopes[0].replace("*", "x") if sender.scopes else "ai"
    version = "1.2" if sender.below else "99.0"
    return Span(
        "5b8efff798038103d269b633813fc60c", "0000000000000001", "", "chat", END_NS - 1, END_NS, False, "",
        attributes, {}, scope, version,
    )  # fmt: skip


def usage_of(span: Span) -> TokenUsage:
    record = read_span(span).record
    assert record is not None
    return record.usage


@pytest.mark.parametrize("sender", SENDERS, ids=lambda sender: sender.name)
def test_each_entry_is_recognised_and_names_its_source(sender: Sender):
    assert find_sender(a_span(sender, "openai", {"input_tokens": 1})) is sender
    assert sender_named(sender.name) is sender
    assert len(sender.source) > 20


def test_names_are_unique():
    assert len({sender.name for sender in SENDERS}) == len(SENDERS)


COUNT = st.integers(0, 5000)


@settings(max_examples=600)
@given(
    sender=st.sampled_from([*SENDERS, sender_named("unknown")]),
    provider=st.sampled_from([*MODELS, "mistral"]),
    counts=st.fixed_dictionaries(
        {"input_tokens": COUNT, "output_tokens": COUNT},
        optional={
            "cache_read_input_tokens": COUNT,
            "cache_write_input_tokens": COUNT,
            "reasoning_output_tokens": COUNT,
            "total_tokens": st.integers(0, 20_000),
        },
    ),
    consistent=st.sampled_from([None, "stated", "cached", "reasoning", "all"]),
)
def test_a_total_that_does_not_match_the_senders_formula_is_never_stored_without_a_mark(
    sender, provider, counts, consistent
):
    if consistent:
        counts["total_tokens"] = total_by(counts, consistent)
    # What the sender has no name for is not stated.
    counts = {name: value for name, value in counts.items() if sender.counts[name]}
    span = a_span(sender, provider, counts)
    usage = usage_of(span)
    problem = usage.metadata.get("usage_problem")
    if problem is None:
        assert_consistent(sender, span, counts, usage)
    else:
        assert problem in USAGE_PROBLEMS
        assert usage.cost is None
        assert usage.metadata["usage_source"].startswith("otlp:")
        assert len(json.dumps(dict(usage.metadata["usage_raw"]))) <= 4096
        assert usage.total_tokens >= usage.input_tokens + usage.output_tokens
        reread = reread_attributes(usage.metadata)
        assert reread is not None
        assert reread.problem == problem


def total_by(counts: dict[str, int], formula: str) -> int:
    names = ["input_tokens", "output_tokens"]
    names += ["cache_read_input_tokens", "cache_write_input_tokens"] if formula in {"cached", "all"} else []
    names += ["reasoning_output_tokens"] if formula in {"reasoning", "all"} else []
    return sum(counts.get(name, 0) for name in names)


def assert_consistent(sender: Sender, span: Span, counts: dict[str, int], usage: TokenUsage) -> None:
    """The stored counts follow from the stated ones by the sender's rules, and so does the total."""
    cached = total_by(counts, "cached") - total_by(counts, "stated")
    reasoning = counts.get("reasoning_output_tokens", 0)
    from_total = usage.metadata.get("usage_note") == "reasoning_from_total"
    assert usage.input_tokens in {counts["input_tokens"], counts["input_tokens"] + cached}
    if not from_total:
        assert usage.output_tokens in {counts["output_tokens"], counts["output_tokens"] + reasoning}
    counting = find_sender(span).counting_of(
        {"aws": "aws", "anthropic": "anthropic", "google": "google"}.get(usage.provider or "", usage.provider or "")
    )
    if counting.cached is not Parts.BY_TOTAL:
        is_excluded = counting.cached is Parts.EXCLUDED
        assert usage.input_tokens == counts["input_tokens"] + (cached if is_excluded else 0)
    total = counts.get("total_tokens")
    if total is None:
        return
    complete, stated = usage.input_tokens + usage.output_tokens, total_by(counts, "stated")
    allowed = {Total.COMPLETE: {complete}, Total.STATED: {stated}, Total.EITHER: {complete, stated}}
    assert total in allowed[counting.total]


@pytest.mark.parametrize(
    ("scope", "provider", "counts", "expected"),
    [
        # name of the scope, provider, stated (input, output, read, write, reasoning, total), stored (input, output)
        ("openlit.otel.tracing", "anthropic", (110, 60, 2000, 300, 0, None), (2410, 60)),
        ("openlit.otel.tracing", "aws.bedrock", (110, 60, 40, 20, 0, None), (170, 60)),
        ("openlit.otel.tracing", "openai", (2410, 60, 2000, 0, 0, None), (2410, 60)),
        ("openlit.otel.tracing", "gemini", (1014, 94, 400, 0, 60, None), (1014, 154)),
        ("opentelemetry.instrumentation.bedrock", "aws.bedrock", (196, 146, 40, 20, 0, 342), (256, 146)),
        ("opentelemetry.instrumentation.anthropic", "anthropic", (2410, 60, 2000, 300, 0, 2470), (2410, 60)),
        ("strands.telemetry.tracer", "aws.bedrock", (110, 60, 2000, 300, 0, 2470), (2410, 60)),
        ("strands.telemetry.tracer", "aws.bedrock", (2410, 60, 2000, 300, 0, 2470), (2410, 60)),
        ("pipecat", "anthropic", (110, 60, 2000, 300, 0, None), (2410, 60)),
        ("pydantic-ai", "anthropic", (2410, 60, 2000, 300, 0, None), (2410, 60)),
        ("Experimental.Microsoft.Extensions.AI", "openai", (2410, 60, 2000, 0, 30, None), (2410, 60)),
        ("gcp.vertex.agent", "gcp.gemini", (1014, 154, 400, 0, 60, None), (1014, 154)),
        # an unknown sender: the total decides
        ("unlisted", "anthropic", (110, 60, 40, 20, 0, 230), (170, 60)),
        ("unlisted", "anthropic", (110, 60, 40, 20, 0, 170), (110, 60)),
        ("unlisted", "anthropic", (110, 60, 40, 20, 0, None), (110, 60)),
        ("unlisted", "anthropic", (110, 60, 2000, 300, 0, 170), (2410, 60)),
        ("unlisted", "anthropic", (110, 60, 2000, 300, 0, None), (2410, 60)),
        ("unlisted", "gcp.gemini", (1014, 94, 400, 0, 60, 1168), (1014, 154)),
        ("unlisted", "gcp.gemini", (1014, 94, 400, 0, 0, 1168), (1014, 154)),
        ("unlisted", "x_ai", (100, 10, 0, 0, 50, 160), (100, 60)),
        # Gemini's and xAI's totals decide for senders that pass them on
        ("opentelemetry.instrumentation.langchain", "gcp.vertex_ai", (20, 198, 0, 0, 405, 623), (20, 603)),
        ("opentelemetry.instrumentation.langchain", "gcp.vertex_ai", (20, 603, 0, 0, 405, 623), (20, 603)),
        ("opentelemetry.instrumentation.openai.v1", "x_ai", (100, 10, 0, 0, 50, 160), (100, 60)),
        ("pydantic-ai", "google", (20, 198, 0, 0, 405, None), (20, 603)),
    ],
)
def test_each_sender_includes_its_parts_in_the_counts(scope, provider, counts, expected):
    names = (
        "gen_ai.usage.input_tokens",
        "gen_ai.usage.output_tokens",
        "gen_ai.usage.cache_read.input_tokens",
        "gen_ai.usage.cache_creation.input_tokens",
        "gen_ai.usage.reasoning.output_tokens",
        "gen_ai.usage.total_tokens",
    )
    attributes = {name: value for name, value in zip(names, counts, strict=True) if value is not None}
    attributes |= {"gen_ai.operation.name": "chat", "gen_ai.provider.name": provider}
    span = Span(
        "5b8efff798038103d269b633813fc60c", "0000000000000001", "", "chat", END_NS - 1, END_NS, False, "",
        attributes, {}, scope, "",
    )  # fmt: skip
    usage = usage_of(span)
    assert (usage.input_tokens, usage.output_tokens) == expected
    assert "usage_problem" not in usage.metadata


SONNET, GEMINI = "anthropic/claude-sonnet-4-5", "google/gemini-2.5-pro"
COUNT_NAMES = (
    "gen_ai.usage.input_tokens",
    "gen_ai.usage.output_tokens",
    "gen_ai.usage.cache_read.input_tokens",
    "gen_ai.usage.reasoning.output_tokens",
)


@pytest.mark.parametrize(
    ("scope", "provider", "model", "expected"),
    [
        ("openlit.instrumentation.litellm", "anthropic", SONNET, (1000, 60)),
        ("openlit.instrumentation.openai", "openai", SONNET, (1000, 60)),
        ("openlit.instrumentation.openai", "openrouter", GEMINI, (1000, 60)),
        ("openlit.instrumentation.langchain", "langchain", "claude-sonnet-4-5", (1000, 60)),
        ("openlit.instrumentation.anthropic", "anthropic", "claude-sonnet-4-5", (1500, 60)),
        ("openlit.instrumentation.bedrock", "aws.bedrock", "us.anthropic.claude-sonnet-4-5", (1500, 60)),
        ("openlit.instrumentation.google_ai_studio", "gemini", "gemini-2.5-pro", (1000, 110)),
        ("pipecat", "openrouter", SONNET, (1000, 60)),
        ("pipecat", "anthropic", "claude-sonnet-4-5", (1500, 60)),
        ("pipecat", "litellm", SONNET, (1000, 60)),
    ],
)
def test_the_api_not_the_model_determines_the_counting(scope, provider, model, expected):
    attributes = dict(zip(COUNT_NAMES, (1000, 60, 500, 50), strict=True))
    usage = usage_of_scope(scope, {**attributes, "gen_ai.provider.name": provider, "gen_ai.response.model": model})
    assert (usage.input_tokens, usage.output_tokens, usage.metadata.get("usage_problem")) == (*expected, None)


@pytest.mark.parametrize(
    ("provider", "expected"),
    [
        ("litellm.chat", 1000),
        ("databricks.chat", 1000),
        ("openai.chat", 1000),
        ("openrouter.chat", 1000),
        ("openai-compatible.chat", 1000),
        ("gateway", 1000),
        ("anthropic.messages", 1500),
        ("vertex.anthropic.messages", 1500),
        ("amazon-bedrock", 1500),
    ],
)
def test_the_ai_sdks_provider_determines_its_counting(provider, expected):
    attributes = {
        "ai.operationId": "ai.streamText.doStream",
        "ai.model.provider": provider,
        "ai.model.id": "claude-sonnet-4-5",
        "ai.usage.inputTokens": 1000,
        "ai.usage.outputTokens": 10,
        "ai.usage.totalTokens": 1010,
        "ai.usage.cachedInputTokens": 500,
    }
    usage = usage_of_scope("ai", attributes)
    assert (usage.input_tokens, usage.metadata.get("usage_problem")) == (expected, None)


@pytest.mark.parametrize(("provider", "expected"), [("OpenRouter", 1000), ("LiteLLM", 1000), ("Anthropic", 1500)])
def test_agnos_provider_determines_its_counting(provider, expected):
    attributes = {
        "openinference.span.kind": "LLM",
        "llm.provider": provider,
        "llm.model_name": "claude-sonnet-4-5",
        "llm.token_count.prompt": 1000,
        "llm.token_count.completion": 10,
        "llm.token_count.prompt_details.cache_read": 500,
    }
    assert usage_of_scope("openinference.instrumentation.agno", attributes).input_tokens == expected


def usage_of_scope(scope: str, attributes: dict[str, object]) -> TokenUsage:
    attributes = {"gen_ai.operation.name": "chat", **attributes}
    return usage_of(
        Span(
            "5b8efff798038103d269b633813fc60c", "0000000000000001", "", "chat", END_NS - 1, END_NS, False, "",
            attributes, {}, scope, "",
        )
    )  # fmt: skip


def test_a_marked_row_is_read_again_with_todays_rules():
    raw = {
        "gen_ai.usage.input_tokens": 110,
        "gen_ai.usage.output_tokens": 60,
        "gen_ai.usage.cache_read.input_tokens": 40,
    }
    reread = reread_attributes({"usage_source": "otlp:openlit/anthropic", "usage_raw": raw})
    assert reread is not None
    assert (reread.counts["input_tokens"], reread.problem) == (150, None)


@pytest.mark.parametrize(
    "metadata",
    [{}, {"usage_source": "otlp:x/y"}, {"usage_source": "otlp:x/y", "usage_raw": {}}, {"usage_raw": {"a": 1}}],
)
def test_a_row_without_raw_numbers_cannot_be_read_again(metadata):
    assert reread_attributes(metadata) is None
