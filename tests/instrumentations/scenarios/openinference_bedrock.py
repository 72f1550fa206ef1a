"""OpenInference's instrumentation of Amazon Bedrock's client."""

from __future__ import annotations

from typing import Any

import _calls

LIBRARY = "openinference-instrumentation-bedrock"
PACKAGES = ("boto3",)
SCENARIOS = _calls.BEDROCK


def setup(c: Any) -> None:
    from openinference.instrumentation.bedrock import BedrockInstrumentor

    BedrockInstrumentor().instrument(tracer_provider=c.provider())
