"""OpenTelemetry's instrumentation of botocore, with Amazon Bedrock."""

from __future__ import annotations

from typing import Any

import _calls

LIBRARY = "opentelemetry-instrumentation-botocore"
PACKAGES = ("boto3",)
SCENARIOS = _calls.BEDROCK


def setup(c: Any) -> None:
    from opentelemetry.instrumentation.botocore import BotocoreInstrumentor

    BotocoreInstrumentor().instrument(tracer_provider=c.provider())
