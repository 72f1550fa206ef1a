"""OpenLLMetry's instrumentation of the OpenAI client."""

from __future__ import annotations

from typing import Any

import _calls

LIBRARY = "opentelemetry-instrumentation-openai"
PACKAGES = ("openai",)
SCENARIOS = _calls.OPENAI


def setup(c: Any) -> None:
    from opentelemetry.instrumentation.openai import OpenAIInstrumentor

    OpenAIInstrumentor().instrument(tracer_provider=c.provider())
