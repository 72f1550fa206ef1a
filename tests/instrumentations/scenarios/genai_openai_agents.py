"""OpenTelemetry's instrumentation of the OpenAI Agents SDK."""

from __future__ import annotations

from typing import Any

import _agents_sdk

LIBRARY = "opentelemetry-instrumentation-genai-openai-agents"
PACKAGES = ("openai-agents", "openai")
SCENARIOS = _agents_sdk.SCENARIOS


def setup(c: Any) -> None:
    import agents
    from opentelemetry.instrumentation.genai.openai_agents import OpenAIAgentsInstrumentor

    agents.set_trace_processors([])
    OpenAIAgentsInstrumentor().instrument(tracer_provider=c.provider())
