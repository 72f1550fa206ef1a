"""LiteLLM's own OpenTelemetry callback."""

from __future__ import annotations

from typing import Any

import _litellm

LIBRARY = "litellm"
PACKAGES = ("openai",)
SCENARIOS = _litellm.SCENARIOS


def setup(c: Any) -> None:
    import litellm
    from litellm.integrations.opentelemetry import OpenTelemetry, OpenTelemetryConfig

    config = OpenTelemetryConfig(exporter="otlp_http", endpoint=c.endpoint)
    litellm.callbacks = [OpenTelemetry(config=config, tracer_provider=c.provider())]
