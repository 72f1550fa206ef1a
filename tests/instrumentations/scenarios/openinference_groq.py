"""OpenInference's instrumentation of the groq client."""

from __future__ import annotations

from typing import Any

import _calls

LIBRARY = "openinference-instrumentation-groq"
PACKAGES = ("groq",)
SCENARIOS = {"groq": _calls.groq}


def setup(c: Any) -> None:
    from openinference.instrumentation.groq import GroqInstrumentor

    GroqInstrumentor().instrument(tracer_provider=c.provider())
