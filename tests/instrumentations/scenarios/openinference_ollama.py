"""OpenInference's instrumentation of the ollama client."""

from __future__ import annotations

from typing import Any

import _calls

LIBRARY = "openinference-instrumentation-ollama"
PACKAGES = ("ollama",)
SCENARIOS = {"ollama": _calls.ollama}


def setup(c: Any) -> None:
    from openinference.instrumentation.ollama import OllamaInstrumentor

    OllamaInstrumentor().instrument(tracer_provider=c.provider())
