"""OpenLLMetry's instrumentation of LangChain."""

from __future__ import annotations

from typing import Any

import _calls

LIBRARY = "opentelemetry-instrumentation-langchain"
PACKAGES = ("langchain", "langchain-openai", "langchain-anthropic", "anthropic")
SCENARIOS = _calls.LANGCHAIN


def setup(c: Any) -> None:
    from opentelemetry.instrumentation.langchain import LangchainInstrumentor

    LangchainInstrumentor().instrument(tracer_provider=c.provider())
