"""LangSmith's tracing in its OpenTelemetry mode: LangChain, and its wrapped clients."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import _calls

LIBRARY = "langsmith"
PACKAGES = ("langchain", "openai", "anthropic")


def setup(c: Any) -> None:
    import os

    os.environ |= {
        "LANGSMITH_TRACING": "true",
        "LANGSMITH_TRACING_MODE": "otel",
        "LANGSMITH_API_KEY": "key",
        "LANGSMITH_ENDPOINT": c.endpoint.removesuffix("/v1/traces"),
        "LANGSMITH_PROJECT": "app",
    }
    c.provider()


def _flush() -> None:
    from langsmith.run_trees import get_cached_client

    get_cached_client().flush()


def langchain(c: Any) -> None:
    _calls.langchain_calls(_calls.langchain_openai(c, stream_usage=True))
    _flush()


def langchain_responses(c: Any) -> None:
    _calls.langchain_calls(_calls.langchain_openai(c, use_responses_api=True))
    _flush()


def langchain_anthropic(c: Any) -> None:
    _calls.langchain_calls(_calls.langchain_anthropic(c))
    _flush()


def langchain_gemini(c: Any) -> None:
    _calls.langchain_calls(_calls.langchain_gemini(c))
    _flush()


def langchain_agent(c: Any) -> None:
    c.expect(session_id="s_1")
    model = _calls.langchain_openai(c)
    _calls.langgraph_agent(c, model, {"metadata": {"user_id": "u_1", "session_id": "s_1"}})
    _flush()


def langchain_errors(c: Any) -> None:
    _calls.langchain_errors(c)
    _flush()


def wrapped_openai(c: Any) -> None:
    from langsmith.wrappers import wrap_openai

    client = wrap_openai(_calls.openai_client(c))
    client.chat.completions.create(model="gpt-5-mini", messages=_calls.HELLO)
    options = {"include_usage": True}
    for _ in client.chat.completions.create(
        model="gpt-5-mini", messages=_calls.HELLO, stream=True, stream_options=options
    ):
        pass
    client.responses.create(model="gpt-5-mini", input="hi")
    with suppress(Exception):
        client.chat.completions.create(model="gpt-5-mini", messages=_calls.FAIL_429)
    _flush()


def wrapped_anthropic(c: Any) -> None:
    from langsmith.wrappers import wrap_anthropic

    client = wrap_anthropic(_calls.anthropic_client(c))
    client.messages.create(model=_calls.CLAUDE, max_tokens=100, messages=_calls.HELLO)
    _flush()


SCENARIOS = {
    "langchain": langchain,
    "langchain_responses": langchain_responses,
    "langchain_anthropic": langchain_anthropic,
    "langchain_gemini": langchain_gemini,
    "langchain_agent": langchain_agent,
    "langchain_errors": langchain_errors,
    "wrapped_openai": wrapped_openai,
    "wrapped_anthropic": wrapped_anthropic,
}
