"""Langfuse's SDK: its OpenAI client, its LangChain handler, its own observations, and other instrumentations' spans."""

from __future__ import annotations

from typing import Any

import _calls

LIBRARY = "langfuse"
PACKAGES = ("openai", "langchain")


def setup(c: Any) -> None:
    import os

    os.environ["LANGFUSE_PUBLIC_KEY"] = os.environ["LANGFUSE_SECRET_KEY"] = "key"
    os.environ["LANGFUSE_BASE_URL"] = c.endpoint.removesuffix("/v1/traces")
    os.environ["LANGFUSE_OTEL_TRACES_EXPORT_PATH"] = "v1/traces"
    os.environ["LANGFUSE_MEDIA_UPLOAD_ENABLED"] = "false"
    from langfuse import Langfuse

    c.langfuse = Langfuse()


def _client(c: Any, **kind: Any) -> Any:
    from langfuse import openai

    return openai.OpenAI(base_url=f"{c.api}/v1", api_key="key", max_retries=0)


def openai_chat(c: Any) -> None:
    client = _client(c)
    client.chat.completions.create(model="gpt-4o-mini", messages=_calls.HELLO)
    client.chat.completions.create(model="gpt-5-mini", messages=_calls.HELLO)
    c.langfuse.flush()


def openai_stream(c: Any) -> None:
    options = {"include_usage": True}
    for _ in _client(c).chat.completions.create(
        model="gpt-5-mini", messages=_calls.HELLO, stream=True, stream_options=options
    ):
        pass
    c.langfuse.flush()


def openai_responses(c: Any) -> None:
    client = _client(c)
    client.responses.create(model="gpt-5-mini", input="hi")
    for _ in client.responses.create(model="gpt-5-mini", input="hi", stream=True):
        pass
    c.langfuse.flush()


def openai_embeddings(c: Any) -> None:
    _client(c).embeddings.create(model="text-embedding-3-small", input=["a", "b"])
    c.langfuse.flush()


def openai_errors(c: Any) -> None:
    from contextlib import suppress

    client = _client(c)
    for messages in (_calls.FAIL_429, _calls.FAIL_500):
        with suppress(Exception):
            client.chat.completions.create(model="gpt-4o-mini", messages=messages)
    with suppress(Exception):
        for _ in client.chat.completions.create(
            model="gpt-4o-mini", messages=_calls.CUT, stream=True, stream_options={"include_usage": True}
        ):
            pass
    c.langfuse.flush()


def user_and_session(c: Any) -> None:
    from langfuse import propagate_attributes

    c.expect(user_id="u_1", session_id="s_1")
    with (
        c.langfuse.start_as_current_observation(name="request"),
        propagate_attributes(user_id="u_1", session_id="s_1"),
    ):
        openai_chat(c)
    c.langfuse.flush()


def langchain(c: Any) -> None:
    from langfuse.langchain import CallbackHandler

    config = {"callbacks": [CallbackHandler()]}
    _calls.langchain_calls(_calls.langchain_openai(c, stream_usage=True), config)
    _calls.langchain_calls(_calls.langchain_anthropic(c), config)
    c.langfuse.flush()


def langchain_agent(c: Any) -> None:
    from langfuse.langchain import CallbackHandler

    _calls.langgraph_agent(c, _calls.langchain_openai(c), {"callbacks": [CallbackHandler()]})
    c.langfuse.flush()


def observation(c: Any) -> None:
    """An app states the usage itself, as Langfuse's documentation shows for Anthropic."""
    client = _calls.anthropic_client(c)
    with c.langfuse.start_as_current_observation(as_type="generation", name="claude", model=_calls.CLAUDE) as made:
        answer = client.messages.create(model=_calls.CLAUDE, max_tokens=100, messages=_calls.HELLO)
        usage = answer.usage
        made.update(
            output=answer.content[0].text,
            usage_details={
                "input": usage.input_tokens,
                "output": usage.output_tokens,
                "cache_read_input_tokens": usage.cache_read_input_tokens,
                "cache_creation_input_tokens": usage.cache_creation_input_tokens,
            },
        )
    c.langfuse.flush()


SCENARIOS = {
    "openai_chat": openai_chat,
    "openai_stream": openai_stream,
    "openai_responses": openai_responses,
    "openai_embeddings": openai_embeddings,
    "openai_errors": openai_errors,
    "user_and_session": user_and_session,
    "langchain": langchain,
    "langchain_agent": langchain_agent,
    "observation": observation,
}
