"""OpenLIT's instrumentations of the OpenAI, Anthropic, Gemini, LangChain and LiteLLM clients."""

from __future__ import annotations

from typing import Any

import _calls
import _litellm

LIBRARY = "openlit"
PACKAGES = ("openai", "anthropic", "google-genai", "langchain", "litellm")
SCENARIOS = {
    **{f"openai_{name}": run for name, run in _calls.OPENAI.items()},
    **{f"anthropic_{name}": run for name, run in _calls.ANTHROPIC.items()},
    **{f"gemini_{name}": run for name, run in _calls.GENAI.items()},
    "langchain": _calls.LANGCHAIN["openai"],
    "litellm_openai": _litellm.openai,
    "litellm_anthropic": _litellm.anthropic,
}


def setup(c: Any) -> None:
    import openlit

    openlit.init(
        service_name="app",
        otlp_endpoint=c.endpoint.removesuffix("/v1/traces"),
        disable_batch=True,
        disable_metrics=True,
        disable_events=True,
    )
