"""OpenInference's instrumentation of the Gemini client."""

from __future__ import annotations

from typing import Any

import _calls

LIBRARY = "openinference-instrumentation-google-genai"
PACKAGES = ("google-genai",)
SCENARIOS = _calls.GENAI


def setup(c: Any) -> None:
    from openinference.instrumentation.google_genai import GoogleGenAIInstrumentor

    GoogleGenAIInstrumentor().instrument(tracer_provider=c.provider())
