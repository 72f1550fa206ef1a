"""The senders of GenAI spans: the parts that their counts include, and the content of their total.

Providers count cached and reasoning tokens differently, and instrumentations either copy a provider's counts or convert
them. The meaning of a span's counts is therefore looked up by the instrumentation that wrote it. OpenTelemetry's
conventions and most senders are inclusive: input includes cached tokens, output includes reasoning tokens.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from tracker.otlp.decode import Attributes, Span
from tracker.otlp.reading.genai_attributes import (
    CLAUDE_CODE_COUNTS,
    GENERAL_COUNTS,
    MLFLOW_COUNTS,
    OPENINFERENCE_COUNTS,
    Names,
)


class Parts(StrEnum):
    """How a count relates to one of its parts."""

    INCLUDED = "included"
    EXCLUDED = "excluded"
    BY_TOTAL = "by_total"  # the stated total decides


class Total(StrEnum):
    """The content of a sender's total."""

    STATED = "stated"  # input + output as the sender states them
    COMPLETE = "complete"  # input with cached + output with reasoning tokens
    EITHER = "either"  # one or the other, by version or provider


@dataclass(frozen=True, slots=True)
class Counting:
    """How a sender counts: cached tokens, reasoning tokens, total."""

    cached: Parts = Parts.INCLUDED
    reasoning: Parts = Parts.INCLUDED
    total: Total = Total.COMPLETE


INCLUSIVE = Counting()
BY_TOTAL = Counting(Parts.BY_TOTAL, Parts.BY_TOTAL, Total.EITHER)
CACHED_EXCLUDED = Counting(cached=Parts.EXCLUDED, total=Total.STATED)
CACHED_EXCLUDED_COMPLETE = Counting(cached=Parts.EXCLUDED, total=Total.EITHER)
REASONING_EXCLUDED = Counting(reasoning=Parts.EXCLUDED, total=Total.COMPLETE)
REASONING_EXCLUDED_STATED = Counting(reasoning=Parts.EXCLUDED, total=Total.STATED)
# Gemini and xAI exclude reasoning from the output and their totals include it; most senders convert that, some do not.
# Sources: ai.google.dev/api/generate-content#UsageMetadata; docs.x.ai, reasoning_tokens.
REASONING_BY_TOTAL = Counting(reasoning=Parts.BY_TOTAL)
REASONING_EXCLUDED_FAMILIES = frozenset({"google", "x-ai"})
_PASSED_ON = {"anthropic": CACHED_EXCLUDED, "aws": CACHED_EXCLUDED}


@dataclass(frozen=True, slots=True)
class Sender:
    """One instrumentation: how it is recognised, what its counts mean, and the source of this information.

    `scopes` are names of instrumentation scopes; one that ends with `*` is a prefix. `below` limits the entry to
    versions before it. `attributes` recognises a span without a scope. `by_family` is how the provider families that
    differ from `counting` are counted. With `needs_both`, the scope and the attributes must match:
    the attributes distinguish versions.
    """

    name: str
    source: str
    scopes: Names = ()
    below: tuple[int, ...] | None = None
    attributes: Callable[[Attributes], bool] | None = None
    needs_both: bool = False
    counting: Counting = INCLUSIVE
    by_family: Mapping[str, Counting] = field(default_factory=dict)
    counts: Mapping[str, Names] = field(default_factory=lambda: GENERAL_COUNTS)

    def counting_of(self, family: str) -> Counting:
        """How this sender counts calls of a provider family."""
        if family in self.by_family:
            return self.by_family[family]
        if self.counting is INCLUSIVE and family in REASONING_EXCLUDED_FAMILIES:
            return REASONING_BY_TOTAL
        return self.counting


CLAUDE_CODE_SPANS = frozenset({"llm_request", "claude_code.llm_request"})
_AI_SDK_AGENT = re.compile(r"\bai/(\d+)\.")


def _is_ai_sdk(attributes: Attributes) -> bool:
    return "ai.operationId" in attributes or "ai.model.id" in attributes


def _is_ai_sdk_6(attributes: Attributes) -> bool:
    """Version 6 and later state details of both counts, or their version as the user agent."""
    if not _is_ai_sdk(attributes):
        return False
    agent = _AI_SDK_AGENT.search(str(attributes.get("ai.request.headers.user-agent", "")))
    if agent is not None:
        return int(agent[1]) >= 6
    return any(name.startswith(("ai.usage.inputTokenDetails.", "ai.usage.outputTokenDetails.")) for name in attributes)


def _is_openinference(attributes: Attributes) -> bool:
    return "openinference.span.kind" in attributes or any(name.startswith("llm.token_count.") for name in attributes)


def _has(*names: str) -> Callable[[Attributes], bool]:
    return lambda attributes: any(name in attributes for name in names)


def _is_openlit(attributes: Attributes) -> bool:
    return attributes.get("telemetry.sdk.name") == "openlit"


# The first entry that matches applies.
SENDERS: tuple[Sender, ...] = (
    Sender(
        "ai-sdk-6",
        "vercel/ai v6 and v7, convert-*-usage.ts: total = noCache + cacheRead + cacheWrite;"
        " getsentry/sentry-javascript#21488 (v5 and older exclude, v6 includes; told apart by inputTokenDetails)",
        attributes=_is_ai_sdk_6,
    ),
    Sender(
        "ai-sdk-5",
        "vercel/ai#9921: Anthropic's and Bedrock's inputTokens exclude cached tokens and the total is their sum with"
        " the output; vercel/ai#6082: Google's outputTokens exclude thoughts, its total includes them",
        attributes=_is_ai_sdk,
        counting=BY_TOTAL,
        by_family={"anthropic": CACHED_EXCLUDED, "aws": CACHED_EXCLUDED, "google": REASONING_EXCLUDED},
    ),
    Sender(
        "ai-sdk-7",
        "@ai-sdk/otel 7, open-telemetry.ts: event.usage.inputTokens, which includes cached tokens as in v6",
        scopes=("gen_ai",),
    ),
    Sender(
        "anthropic-sdk",
        "anthropic ≥ 2 (Python), spans of com.anthropic.sdk.*: gen_ai.usage.input_tokens is the sum with both caches",
        scopes=("com.anthropic.sdk.*",),
    ),
    Sender(
        "claude-code",
        "mlflow/tracing/otel/translation/claude_code.py: input_tokens exclude cache tokens",
        scopes=("com.anthropic.claude_code*",),
        attributes=lambda attributes: str(attributes.get("span.type", "")) in CLAUDE_CODE_SPANS,
        counting=CACHED_EXCLUDED,
        counts=CLAUDE_CODE_COUNTS,
    ),
    Sender(
        "openinference-bedrock",
        "openinference-instrumentation-bedrock, _wrappers.py: Converse passes inputTokens and totalTokens on (cached"
        " tokens only in the total), Arize-ai/openinference#1429: InvokeModel with Claude includes them",
        scopes=("openinference.instrumentation.bedrock",),
        counting=BY_TOTAL,
        counts=OPENINFERENCE_COUNTS,
    ),
    Sender(
        "openinference-agno",
        "agno/models/anthropic/claude.py and aws/bedrock.py: input_tokens as the API states them, total = input +"
        " output; openinference-instrumentation-agno passes them on",
        scopes=("openinference.instrumentation.agno",),
        by_family=_PASSED_ON,
        counts=OPENINFERENCE_COUNTS,
    ),
    Sender(
        "openinference",
        "arize-ai.github.io/openinference/spec: prompt includes its details, completion includes reasoning;"
        " Arize-ai/openinference#1429, #1465, #3243 (every instrumentation converts)",
        scopes=("openinference.instrumentation.*", "@arizeai/openinference*"),
        attributes=_is_openinference,
        counts=OPENINFERENCE_COUNTS,
    ),
    Sender(
        "openllmetry-bedrock",
        "traceloop/openllmetry#4449: converse_usage_record and InvokeModel pass the uncached inputTokens on, the total"
        " is their sum with the output (0.62.4)",
        scopes=("opentelemetry.instrumentation.bedrock",),
        counting=CACHED_EXCLUDED_COMPLETE,
    ),
    Sender(
        "otel-bedrock",
        "opentelemetry-instrumentation-botocore 0.66b2, extensions/bedrock.py, and -genai-bedrock 1.3b0: Converse's"
        " uncached inputTokens, no total (captured)",
        scopes=("opentelemetry.instrumentation.botocore*", "opentelemetry.instrumentation.genai.bedrock"),
        counting=CACHED_EXCLUDED,
    ),
    Sender(
        "openllmetry-gemini",
        "opentelemetry-instrumentation-google-generativeai 0.62.4, span_utils.py: candidates_token_count without"
        " thoughts, and Gemini's own total_token_count (respanai/respan#339)",
        scopes=("opentelemetry.instrumentation.google_generativeai", "opentelemetry.instrumentation.vertexai"),
        counting=REASONING_BY_TOTAL,
    ),
    Sender(
        "openllmetry",
        "traceloop/openllmetry#2175: Anthropic's input includes both caches; LangChain's usage_metadata is inclusive",
        scopes=(
            "opentelemetry.instrumentation.anthropic",
            "opentelemetry.instrumentation.langchain",
            "opentelemetry.instrumentation.openai*",
            "opentelemetry.instrumentation.mistralai",
            "opentelemetry.instrumentation.groq",
            "opentelemetry.instrumentation.ollama",
            "opentelemetry.instrumentation.cohere",
        ),
    ),
    Sender(
        "otel-google-genai",
        "opentelemetry-instrumentation-google-genai 1.3b0, interactions.py: total_output_tokens without"
        " total_thought_tokens; generate_content.py adds the thoughts",
        scopes=("opentelemetry.instrumentation.google_genai",),
        attributes=lambda attributes: attributes.get("gen_ai.operation.name") == "interactions.create",
        needs_both=True,
        by_family={"google": REASONING_EXCLUDED},
    ),
    Sender(
        "openlit",
        "openlit 1.45, instrumentation/anthropic/utils.py and bedrock/utils.py (prompt_tokens_include_cache=False),"
        " google_ai_studio/utils.py (candidates_token_count without thoughts)",
        scopes=("openlit*",),
        attributes=_is_openlit,
        by_family={**_PASSED_ON, "google": REASONING_EXCLUDED_STATED},
    ),
    Sender(
        "strands",
        "strands/telemetry/metrics.py, _total_prompt_tokens: since 1.34 input includes cached tokens, before it did so"
        " by provider; the total tells which (Arize-ai/openinference#3243)",
        scopes=("strands*",),
        counting=BY_TOTAL,
    ),
    Sender(
        "google-adk",
        "google/adk/telemetry 1.x: candidates_token_count and experimental.reasoning_tokens, which it excludes",
        scopes=("gcp.vertex.agent",),
        attributes=_has("gen_ai.usage.experimental.reasoning_tokens"),
        needs_both=True,
        counting=REASONING_EXCLUDED,
    ),
    Sender(
        "pipecat",
        "pipecat-ai/pipecat#3011: LLMTokenUsage as each service states it; Anthropic's prompt_tokens exclude caches",
        scopes=("pipecat*",),
        by_family=_PASSED_ON,
    ),
    Sender(
        "pydantic-ai-bedrock",
        "pydantic/pydantic-ai#3879: Bedrock's input without cached tokens up to 1.39",
        scopes=("pydantic-ai",),
        below=(1, 40),
        by_family={"aws": CACHED_EXCLUDED},
    ),
    Sender(
        "pydantic-ai",
        "pydantic_ai/usage.py, opentelemetry_attributes; pydantic/pydantic-ai#4364: input includes cached tokens",
        scopes=("pydantic-ai",),
    ),
    Sender(
        "logfire",
        "pydantic/logfire#1812: Anthropic's input includes both caches since March 2026; before it, the raw usage in"
        " response_data is read",
        scopes=("logfire.*", "logfire"),
    ),
    Sender(
        "litellm",
        "litellm/integrations/opentelemetry.py: LiteLLM's Usage, which includes cached tokens",
        scopes=("litellm",),
    ),
    Sender(
        "langsmith",
        "langsmith/_internal/otel/_otel_exporter.py: LangChain's usage_metadata, inclusive;"
        " langsmith/wrappers/_anthropic.py adds both caches",
        scopes=("langsmith",),
    ),
    Sender(
        "mlflow",
        "mlflow/anthropic/autolog.py and bedrock/utils.py add cached tokens; gemini/autolog.py passes the total on",
        scopes=("mlflow*",),
        attributes=_has("mlflow.chat.tokenUsage"),
        counts=MLFLOW_COUNTS,
    ),
    Sender(
        "sentry",
        "getsentry/sentry-docs#15195: cached and reasoning tokens are subsets",
        attributes=_has("gen_ai.usage.input_tokens.cached", "gen_ai.usage.output_tokens.reasoning"),
    ),
    Sender(
        "microsoft",
        "Microsoft.Extensions.AI OpenTelemetryChatClient, agent_framework/observability.py,"
        " semantic_kernel/utils/telemetry: UsageDetails, inclusive",
        scopes=(
            "Experimental.Microsoft.Extensions.AI",
            "agent_framework",
            "semantic_kernel*",
            "Microsoft.SemanticKernel*",
        ),
    ),
)
UNKNOWN_SENDER = Sender(
    "unknown",
    "the stated total decides; without one, opentelemetry.io/docs/specs/semconv/gen-ai: input includes cached tokens",
    counting=BY_TOTAL,
)


def find_sender(span: Span) -> Sender:
    """The table's entry for the instrumentation that wrote the span; `UNKNOWN_SENDER` without one."""
    return next((sender for sender in SENDERS if _matches(sender, span)), UNKNOWN_SENDER)


def sender_named(name: str) -> Sender:
    """The table's entry by its name; `UNKNOWN_SENDER` for any other name."""
    return next((sender for sender in SENDERS if sender.name == name), UNKNOWN_SENDER)


def _matches(sender: Sender, span: Span) -> bool:
    by_scope = any(_is_scope(pattern, span.scope_name) for pattern in sender.scopes)
    by_attributes = sender.attributes is not None and sender.attributes(span.attributes)
    if sender.needs_both:
        return by_scope and by_attributes
    return (by_scope and _is_below(sender.below, span.scope_version)) or by_attributes


def _is_scope(pattern: str, scope: str) -> bool:
    return scope.startswith(pattern[:-1]) if pattern.endswith("*") else scope == pattern


def _is_below(limit: tuple[int, ...] | None, version: str) -> bool:
    if limit is None:
        return True
    numbers = tuple(int(number) for number in re.findall(r"\d+", version)[: len(limit)])
    return bool(numbers) and numbers < limit
