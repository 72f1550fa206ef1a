"""OpenInference's instrumentation of LangChain."""

from __future__ import annotations

from typing import Any

import _calls

LIBRARY = "openinference-instrumentation-langchain"
PACKAGES = ("langchain", "langchain-openai", "langchain-anthropic", "anthropic")
SCENARIOS = _calls.LANGCHAIN


def setup(c: Any) -> None:
    from openinference.instrumentation.langchain import LangChainInstrumentor

    LangChainInstrumentor().instrument(tracer_provider=c.provider())
