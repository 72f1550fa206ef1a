"""OpenInference's instrumentation of LlamaIndex."""

from __future__ import annotations

from typing import Any

import _calls

LIBRARY = "openinference-instrumentation-llama-index"
PACKAGES = ("llama-index-core", "llama-index-llms-openai")


def setup(c: Any) -> None:
    from openinference.instrumentation.llama_index import LlamaIndexInstrumentor

    LlamaIndexInstrumentor().instrument(tracer_provider=c.provider())


def openai(c: Any) -> None:
    from llama_index.core.llms import ChatMessage
    from llama_index.llms.openai import OpenAI

    model = OpenAI(model="gpt-4o-mini", api_base=f"{c.api}/v1", api_key="key", max_retries=0)
    model.chat([ChatMessage(role="user", content="hi")])


def anthropic(c: Any) -> None:
    from llama_index.core.llms import ChatMessage
    from llama_index.llms.anthropic import Anthropic

    model = Anthropic(model=_calls.CLAUDE, base_url=c.api, api_key="key", max_retries=0)
    model.chat([ChatMessage(role="user", content="hi")])


SCENARIOS = {"openai": openai, "anthropic": anthropic}
