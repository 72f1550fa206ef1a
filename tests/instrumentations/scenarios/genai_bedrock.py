"""OpenTelemetry's newer instrumentation of Amazon Bedrock's client."""

from __future__ import annotations

from typing import Any

import _calls

LIBRARY = "opentelemetry-instrumentation-genai-bedrock"
PACKAGES = ("boto3",)
SCENARIOS = _calls.BEDROCK


def setup(c: Any) -> None:
    from opentelemetry.instrumentation.genai.bedrock import BedrockInstrumentor

    BedrockInstrumentor().instrument(tracer_provider=c.provider())
