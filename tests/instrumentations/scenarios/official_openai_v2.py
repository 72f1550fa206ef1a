"""OpenTelemetry's instrumentation of the OpenAI client."""

from __future__ import annotations

from typing import Any

import _calls

LIBRARY = "opentelemetry-instrumentation-openai-v2"
PACKAGES = ("openai",)
SCENARIOS = _calls.OPENAI


def setup(c: Any) -> None:
    from opentelemetry.instrumentation.openai_v2 import OpenAIInstrumentor

    OpenAIInstrumentor().instrument(tracer_provider=c.provider())
