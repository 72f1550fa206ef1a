"""OpenLIT's instrumentations of the OpenAI, Anthropic, Gemini, LangChain and LiteLLM clients."""

from __future__ import annotations

from typing import Any

import _calls
import _litellm

LIBRARY = "openlit"
PACKAGES = ("openai", "anthropic", "google-genai", "langchain", "litellm")
SCENARIOS = {
    **{f"openai_{name}": _calls.OPENAI[name] for name in ("chat", "stream", "responses", "embeddings", "errors")},
    **{f"anthropic_{name}": _calls.ANTHROPIC[name] for name in ("messages", "stream", "errors")},
    **{f"gemini_{name}": _calls.GENAI[name] for name in ("generate", "stream")},
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
