"""OpenLLMetry's instrumentation of LangChain."""

from __future__ import annotations

from typing import Any

import _calls

LIBRARY = "opentelemetry-instrumentation-langchain"
PACKAGES = ("langchain", "langchain-openai", "langchain-anthropic", "anthropic")


def setup(c: Any) -> None:
    from opentelemetry.instrumentation.langchain import LangchainInstrumentor

    LangchainInstrumentor().instrument(tracer_provider=c.provider())


def openai_twice(c: Any) -> None:
    """LangChain and the client below it are both instrumented: two spans of each call."""
    from opentelemetry.instrumentation.openai import OpenAIInstrumentor

    OpenAIInstrumentor().instrument(tracer_provider=c.provider())
    _calls.langchain_calls(_calls.langchain_openai(c, stream_usage=True))


SCENARIOS = {**_calls.LANGCHAIN, "openai_twice": openai_twice}
