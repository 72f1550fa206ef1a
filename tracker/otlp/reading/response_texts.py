"""The attributes that contain the provider's response body, by instrumentation.

Other instrumentations write the model's output text to the same attributes. An end user can influence that text, so it
must never be read as usage.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

from tracker.otlp.decode import Span
from tracker.otlp.reading.genai_attributes import Names


class ResponseText(NamedTuple):
    """The instrumentations, by the scope's name, that write a response body; `applies` limits it to some spans.

    A name that ends with `*` is a prefix.
    """

    scopes: Names
    applies: Callable[[Span], bool] | None = None


def _is_json(span: Span) -> bool:
    """Whether OpenInference calls the output JSON: without a type it is text, also if that text looks like JSON."""
    return span.attributes.get("output.mime_type") == "application/json"


def _is_of_a_library(span: Span) -> bool:
    """Whether MLflow traced a library: the output of an application's function may be parsed output text."""
    is_embedding = str(span.attributes.get("mlflow.spanType", "")).strip('"').upper() == "EMBEDDING"
    return is_embedding or any(name in span.attributes for name in ("mlflow.chat.tokenUsage", "mlflow.message.format"))


# In order of preference. Entries were captured (tests/cases/instrumentations) or read in the instrumentation's source.
RESPONSE_TEXTS: Mapping[str, ResponseText] = {
    # logfire/_internal/integrations/llm_providers: {"message": …, "usage": …}
    "response_data": ResponseText(("logfire", "logfire.*")),
    # google/adk/telemetry.py: LlmResponse
    "gcp.vertex.agent.llm_response": ResponseText(("gcp.vertex.agent",)),
    # Not litellm, llama_index and others, which write the output text.
    "output.value": ResponseText(
        (
            *(
                f"openinference.instrumentation.{name}"
                for name in (
                    "anthropic",
                    "bedrock",
                    "cohere",
                    "google_genai",
                    "groq",
                    "langchain",
                    "mistralai",
                    "ollama",
                    "openai",
                    "openai_agents",
                    "smolagents",
                    "vertexai",
                )
            ),
            "@arizeai/openinference-instrumentation-anthropic",
            "@arizeai/openinference-instrumentation-openai",
        ),
        _is_json,
    ),
    "mlflow.spanOutputs": ResponseText(("mlflow*",), _is_of_a_library),
    # langsmith/_internal/otel/_otel_exporter.py: the run's outputs. OpenLIT and others write the output text.
    "gen_ai.completion": ResponseText(("langsmith",)),
}


def carries_response(span: Span, name: str) -> bool:
    """Whether this attribute of the span contains the provider's response body."""
    entry = RESPONSE_TEXTS[name]
    is_known = any(
        span.scope_name.startswith(scope[:-1]) if scope.endswith("*") else span.scope_name == scope
        for scope in entry.scopes
    )
    return is_known and (entry.applies is None or entry.applies(span))
