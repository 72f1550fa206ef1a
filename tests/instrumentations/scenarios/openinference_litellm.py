"""OpenInference's instrumentation of LiteLLM."""

from __future__ import annotations

from typing import Any

import _litellm

LIBRARY = "openinference-instrumentation-litellm"
PACKAGES = ("litellm",)
SCENARIOS = _litellm.SCENARIOS


def setup(c: Any) -> None:
    from openinference.instrumentation.litellm import LiteLLMInstrumentor

    LiteLLMInstrumentor().instrument(tracer_provider=c.provider())
