"""OpenTelemetry's instrumentation of LangChain."""

from __future__ import annotations

from typing import Any

import _calls

LIBRARY = "opentelemetry-instrumentation-genai-langchain"
PACKAGES = ("langchain", "langchain-openai", "langchain-anthropic", "anthropic")
SCENARIOS = _calls.LANGCHAIN


def setup(c: Any) -> None:
    from opentelemetry.instrumentation.genai.langchain import LangChainInstrumentor

    LangChainInstrumentor().instrument(tracer_provider=c.provider())
