"""OpenInference's instrumentation of the Anthropic client."""

from __future__ import annotations

from typing import Any

import _calls

LIBRARY = "openinference-instrumentation-anthropic"
PACKAGES = ("anthropic",)
SCENARIOS = _calls.ANTHROPIC


def setup(c: Any) -> None:
    from openinference.instrumentation.anthropic import AnthropicInstrumentor

    AnthropicInstrumentor().instrument(tracer_provider=c.provider())
