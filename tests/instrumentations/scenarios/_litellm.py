"""Calls through LiteLLM."""

from __future__ import annotations

import time
from contextlib import suppress
from typing import Any

import _calls


def openai(c: Any) -> None:
    import litellm

    base = {"model": "openai/gpt-5-mini", "messages": _calls.HELLO, "api_base": f"{c.api}/v1", "api_key": "key"}
    litellm.completion(**base, user="u_1", metadata={"session_id": "s_1"})
    for _ in litellm.completion(**base, stream=True, stream_options={"include_usage": True}):
        pass
    time.sleep(2)


def anthropic(c: Any) -> None:
    import litellm

    base = {"model": f"anthropic/{_calls.CLAUDE}", "messages": _calls.HELLO, "api_base": c.api, "api_key": "key"}
    litellm.completion(**base)
    for _ in litellm.completion(**base, stream=True, stream_options={"include_usage": True}):
        pass
    time.sleep(2)


def gemini(c: Any) -> None:
    import litellm

    base = {
        "model": f"gemini/{_calls.GEMINI}",
        "messages": _calls.HELLO,
        "api_base": f"{c.api}/v1beta/models/{_calls.GEMINI}",
        "api_key": "key",
    }
    litellm.completion(**base)
    time.sleep(2)


def bedrock(c: Any) -> None:
    import litellm

    litellm.completion(
        model=f"bedrock/converse/{_calls.BEDROCK_CLAUDE}",
        messages=_calls.HELLO,
        api_base=f"{c.api}/model/{_calls.BEDROCK_CLAUDE}/converse",
        aws_access_key_id="key",
        aws_secret_access_key="key",
        aws_region_name="us-east-1",
    )
    time.sleep(2)


def responses(c: Any) -> None:
    import litellm

    litellm.responses(model="openai/gpt-5-mini", input="hi", api_base=f"{c.api}/v1", api_key="key")
    time.sleep(2)


def embeddings(c: Any) -> None:
    import litellm

    litellm.embedding(model="openai/text-embedding-3-small", input=["a", "b"], api_base=f"{c.api}/v1", api_key="key")
    time.sleep(2)


def errors(c: Any) -> None:
    import litellm

    base = {"model": "openai/gpt-5-mini", "api_base": f"{c.api}/v1", "api_key": "key", "max_retries": 0}
    for messages in (_calls.FAIL_429, _calls.FAIL_500):
        with suppress(Exception):
            litellm.completion(**base, messages=messages)
    time.sleep(2)


SCENARIOS = {
    "openai": openai,
    "anthropic": anthropic,
    "gemini": gemini,
    "bedrock": bedrock,
    "responses": responses,
    "embeddings": embeddings,
    "errors": errors,
}
