"""OpenInference's instrumentation of smolagents."""

from __future__ import annotations

from typing import Any

LIBRARY = "openinference-instrumentation-smolagents"
PACKAGES = ("smolagents", "openai")


def setup(c: Any) -> None:
    from openinference.instrumentation.smolagents import SmolagentsInstrumentor

    SmolagentsInstrumentor().instrument(tracer_provider=c.provider())


def openai_model(c: Any) -> None:
    from smolagents import ChatMessage, MessageRole, OpenAIServerModel

    model = OpenAIServerModel("gpt-4o-mini", api_base=f"{c.api}/v1", api_key="key")
    model.generate([ChatMessage(role=MessageRole.USER, content=[{"type": "text", "text": "hi"}])])


SCENARIOS = {"openai_model": openai_model}
