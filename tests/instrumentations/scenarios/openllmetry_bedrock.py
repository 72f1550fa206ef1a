"""OpenLLMetry's instrumentation of Amazon Bedrock's client."""

from __future__ import annotations

from typing import Any

import _calls

LIBRARY = "opentelemetry-instrumentation-bedrock"
PACKAGES = ("boto3",)
SCENARIOS = _calls.BEDROCK


def setup(c: Any) -> None:
    from opentelemetry.instrumentation.bedrock import BedrockInstrumentor

    BedrockInstrumentor(enrich_token_usage=True).instrument(tracer_provider=c.provider())
