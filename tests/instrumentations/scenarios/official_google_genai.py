"""OpenTelemetry's instrumentation of the Gemini client."""

from __future__ import annotations

from typing import Any

import _calls

LIBRARY = "opentelemetry-instrumentation-google-genai"
PACKAGES = ("google-genai",)
SCENARIOS = _calls.GENAI


def setup(c: Any) -> None:
    from opentelemetry.instrumentation.google_genai import GoogleGenAiSdkInstrumentor

    GoogleGenAiSdkInstrumentor().instrument(tracer_provider=c.provider())
