"""OpenInference's instrumentation of the mistralai client."""

from __future__ import annotations

from typing import Any

import _calls

LIBRARY = "openinference-instrumentation-mistralai"
PACKAGES = ("mistralai",)
SCENARIOS = {"mistral": _calls.mistral}


def setup(c: Any) -> None:
    from openinference.instrumentation.mistralai import MistralAIInstrumentor

    MistralAIInstrumentor().instrument(tracer_provider=c.provider())
