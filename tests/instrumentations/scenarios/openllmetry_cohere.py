"""OpenLLMetry's instrumentation of the cohere client."""

from __future__ import annotations

from typing import Any

import _calls

LIBRARY = "opentelemetry-instrumentation-cohere"
PACKAGES = ("cohere",)
SCENARIOS = {"cohere": _calls.cohere}


def setup(c: Any) -> None:
    from opentelemetry.instrumentation.cohere import CohereInstrumentor

    CohereInstrumentor().instrument(tracer_provider=c.provider())
