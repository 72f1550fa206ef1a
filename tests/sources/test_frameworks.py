"""LiteLLM and LangChain themselves, with our callback in them."""

from __future__ import annotations

import asyncio
import gc
import json
import time
from pathlib import Path
from uuid import uuid4

import openai
import pytest
from langchain_core.language_models import BaseChatModel, FakeListLLM
from langchain_core.messages import AIMessage, AIMessageChunk
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult, LLMResult
from langchain_core.prompts import ChatPromptTemplate
from support import eventually

from tracker.sources import langchain

# LiteLLM's own dealings with pydantic and with sockets; raised within it, its warnings would change what it does.
pytestmark = [
    pytest.mark.filterwarnings(f"ignore::{kind}") for kind in ("UserWarning", "DeprecationWarning", "ResourceWarning")
]
ANSWERS = {
    f"{path.stem}: {case['name']}": case.get("answer") or case.get("stream")
    for path in (Path(__file__).parent / "answers").glob("*.json")
    for case in json.loads(path.read_text(encoding="utf-8"))
}
ASK = [{"role": "user", "content": "Hi"}]


# --- LiteLLM ------------------------------------------------------------------------------------------------------


@pytest.fixture
def litellm(recorder, monkeypatch):
    """LiteLLM with our callback."""
    import litellm

    from tracker.sources.litellm import TokenTracker

    monkeypatch.setattr(litellm, "callbacks", [TokenTracker(recorder)])
    for name in ("success_callback", "failure_callback", "_async_success_callback", "_async_failure_callback"):
        monkeypatch.setattr(litellm, name, [])
    yield litellm
    # It keeps its clients, and with them sockets that no later test should see collected.
    litellm.in_memory_llm_clients_cache.flush_cache()
    gc.collect()


def figures(row):
    names = ("provider", "model", "operation", "user_id", "input_tokens", "output_tokens", "success")
    return tuple(row[name] for name in names)


def settled(stored, count):
    """The rows once there are so many, and a moment later still: LiteLLM calls back from threads of its own."""
    eventually(lambda: len(stored()) >= count)
    time.sleep(0.3)
    rows = stored()
    assert len(rows) == count
    return rows


def test_litellm_completion(litellm, provider, stored):
    provider.prepare(ANSWERS["openai_chat: cached"])
    answer = litellm.completion(
        model="openai/gpt-4o",
        messages=ASK,
        api_base=provider.url + "/v1",
        api_key="k",
        user="u_42",
        metadata={"operation": "tag_generation", "session_id": "s"},
    )
    assert answer.usage.total_tokens == 2306
    (row,) = settled(stored, 1)
    assert figures(row) == ("openai", "gpt-4o-2024-08-06", "tag_generation", "u_42", 2006, 300, True)
    assert (row["cache_read_input_tokens"], row["session_id"]) == (1920, "s")
    assert row["processing_time"] >= 0


def test_litellm_anthropic_with_a_cache(litellm, provider, stored):
    provider.prepare(ANSWERS["anthropic: cache read and written for an hour"])
    litellm.completion(
        model="anthropic/claude-opus-4-1-20250805", messages=ASK, api_base=provider.url, api_key="k", max_tokens=9
    )
    (row,) = settled(stored, 1)
    assert figures(row)[:1] + figures(row)[4:] == ("anthropic", 4096, 503, True)
    assert (row["cache_read_input_tokens"], row["cache_write_input_tokens"]) == (1800, 248)


def test_litellm_streams_and_embeddings(litellm, provider, stored):
    provider.prepare(ANSWERS["openai_chat: streamed with usage"], ANSWERS["openai_chat: embedding"])
    common = {"api_base": provider.url + "/v1", "api_key": "k"}
    stream = litellm.completion(
        model="openai/gpt-4o-mini", messages=ASK, stream=True, stream_options={"include_usage": True}, **common
    )
    assert list(stream)
    settled(stored, 1)
    litellm.embedding(model="openai/text-embedding-ada-002", input=["Hi"], **common)
    rows = settled(stored, 2)
    assert [(row["operation"], row["input_tokens"], row["output_tokens"]) for row in rows] == [
        ("chat", 9, 1),
        ("embeddings", 8, 0),
    ]


def test_litellm_asynchronously(litellm, stored):
    async def main():
        await litellm.acompletion(model="gpt-4o", messages=ASK, mock_response="Hello")
        await asyncio.sleep(1)

    asyncio.run(main())
    (row,) = settled(stored, 1)
    assert row["input_tokens"] > 0
    assert row["success"]


def test_litellm_over_a_wrapped_client_is_one_row_a_call(litellm, provider, recorder, stored):
    provider.prepare(*[ANSWERS["openai_chat: text"]] * 3)  # a server that repeats its ids
    with openai.OpenAI(api_key="k", base_url=provider.url + "/v1") as client:
        for _ in range(3):
            litellm.completion(model="openai/gpt-4.1", messages=ASK, client=recorder.wrap(client))
    assert [row["input_tokens"] for row in settled(stored, 3)] == [19] * 3


@pytest.mark.parametrize("stream", [False, True])
def test_a_block_around_litellm_is_one_row(litellm, provider, recorder, stored, stream):
    provider.prepare(ANSWERS["openai_chat: streamed with usage" if stream else "openai_chat: text"])
    options = {"stream": True, "stream_options": {"include_usage": True}} if stream else {}
    with recorder.track(user_id="u_1") as call:
        call.response = litellm.completion(
            model="openai/gpt-4.1", messages=ASK, api_key="k", api_base=provider.url + "/v1", **options
        )
        list(call.response) if stream else None
    (row,) = settled(stored, 1)
    assert row["input_tokens"] == (9 if stream else 19)
    assert str(call.outcome.id) == row["id"]


def test_litellm_errors_go_through_and_are_rows(litellm, provider, stored):
    provider.prepare(ANSWERS["openai_chat: error"], status=429)
    with pytest.raises(litellm.RateLimitError):
        litellm.completion(
            model="openai/gpt-4o", messages=ASK, api_base=provider.url + "/v1", api_key="k", max_retries=0
        )
    (row,) = settled(stored, 1)
    assert figures(row) == ("openai", "gpt-4o", "chat", "anonymous", 0, 0, False)
    assert row["error_message"].startswith("RateLimitError")


# --- LangChain ----------------------------------------------------------------------------------------------------

USAGE = {
    "input_tokens": 100,
    "output_tokens": 20,
    "total_tokens": 120,
    "input_token_details": {"cache_read": 60, "cache_creation": 10},
    "output_token_details": {"reasoning": 5},
}


class Model(BaseChatModel):
    """A chat model that answers what a provider's integration of LangChain would."""

    error: Exception | None = None

    @property
    def _llm_type(self):
        return "tests"

    def _get_ls_params(self, stop=None, **given):
        return {"ls_provider": "google_genai", "ls_model_name": "gemini-2.5-flash", "ls_model_type": "chat"}

    def _generate(self, messages, stop=None, run_manager=None, **given):
        if self.error:
            raise self.error
        message = AIMessage(
            content="Hi", usage_metadata=USAGE, response_metadata={"model_name": "gemini-2.5-flash-001"}
        )
        return ChatResult(generations=[ChatGeneration(message=message)])

    def _stream(self, messages, stop=None, run_manager=None, **given):
        yield ChatGenerationChunk(message=AIMessageChunk(content="H"))
        last = AIMessageChunk(
            content="i", usage_metadata=USAGE, response_metadata={"model_name": "gemini-2.5-flash-001"}
        )
        yield ChatGenerationChunk(message=last)


@pytest.fixture
def config(recorder):
    return {
        "callbacks": [langchain.TokenTracker(recorder)],
        "metadata": {"user_id": "u_42", "operation": "summary_generation"},
    }


def test_langchain_chains_streams_and_asynchronous_calls(config, stored):
    chain = ChatPromptTemplate.from_messages([("user", "{question}")]) | Model()
    chain.invoke({"question": "x"}, config=config)
    assert len(list(chain.stream({"question": "x"}, config=config))) >= 2

    async def main():
        await chain.ainvoke({"question": "x"}, config=config)
        return [piece async for piece in chain.astream({"question": "x"}, config=config)]

    assert asyncio.run(main())
    rows = stored()
    expected = ("google", "gemini-2.5-flash-001", "summary_generation", "u_42", 100, 20, True)
    assert [figures(row) for row in rows] == [expected] * 4
    assert {(row["cache_read_input_tokens"], row["cache_write_input_tokens"]) for row in rows} == {(60, 10)}
    assert {row["reasoning_output_tokens"] for row in rows} == {5}


def test_langchain_errors_go_through_and_are_rows(config, stored):
    with pytest.raises(TimeoutError):
        Model(error=TimeoutError("no answer")).invoke("x", config=config)
    (row,) = stored()
    assert (row["model"], row["success"]) == ("gemini-2.5-flash", False)
    assert row["error_message"] == "TimeoutError: no answer"


def test_langchain_models_without_usage_are_said_to_be(config, stored):
    FakeListLLM(responses=["Hi"]).invoke("x", config=config)
    (row,) = stored()
    assert row["input_tokens"] == 0
    assert row["metadata"]["usage_problem"] == "usage_missing"


def test_langchains_older_answers_are_read(recorder, stored):
    handler = langchain.TokenTracker(recorder)
    said = {"model_name": "gpt-4o", "token_usage": {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}}
    handler.on_llm_end(LLMResult(generations=[[]], llm_output=said), run_id=uuid4())
    (row,) = stored()
    assert (row["model"], row["input_tokens"], row["output_tokens"]) == ("gpt-4o", 3, 2)


def test_a_langchain_message_is_an_answer(recorder, stored):
    recorder.record_response(Model().invoke("x"), operation="chat")
    (row,) = stored()
    assert (row["model"], row["input_tokens"]) == ("gemini-2.5-flash-001", 100)
