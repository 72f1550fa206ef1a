"""OpenLLMetry's instrumentation of the ollama client."""

from __future__ import annotations

from typing import Any

import _calls

LIBRARY = "opentelemetry-instrumentation-ollama"
PACKAGES = ("ollama",)
SCENARIOS = {"ollama": _calls.ollama}


def setup(c: Any) -> None:
    from opentelemetry.instrumentation.ollama import OllamaInstrumentor

    OllamaInstrumentor().instrument(tracer_provider=c.provider())
