"""LiteLLM itself with our callback in it, and LangChain's older answers."""

from __future__ import annotations

import asyncio
import gc
import json
import time
from pathlib import Path
from uuid import uuid4

import openai
import pytest
from langchain_core.outputs import LLMResult
from langchain_openai import OpenAI
from support import eventually

from tracker.providers.frameworks import langchain

# LiteLLM's own dealings with pydantic and with sockets; raised within it, its warnings would change what it does.
pytestmark = [
    pytest.mark.filterwarnings(f"ignore::{kind}") for kind in ("UserWarning", "DeprecationWarning", "ResourceWarning")
]
ANSWERS = {
    f"{path.stem}: {case['name']}": case.get("answer") or case.get("stream")
    for path in (Path(__file__).parent / "responses").glob("*.json")
    for case in json.loads(path.read_text(encoding="utf-8"))
}
ASK = [{"role": "user", "content": "Hi"}]
ASYNCHRONOUS = ("_async_success_callback", "_async_failure_callback", "_async_input_callback")


# --- LiteLLM ------------------------------------------------------------------------------------------------------


@pytest.fixture
def litellm(recorder, monkeypatch):
    """LiteLLM with our callback."""
    import litellm

    from tracker.sources.litellm import TokenTracker

    monkeypatch.setattr(litellm, "callbacks", [TokenTracker(recorder)])
    for name in ("input_callback", "success_callback", "failure_callback", *ASYNCHRONOUS):
        monkeypatch.setattr(litellm, name, [])
    yield litellm
    # It keeps its clients, and with them sockets that no later test should see collected.
    litellm.in_memory_llm_clients_cache.flush_cache()
    gc.collect()


def values_of(row):
    names = ("provider", "model", "operation", "user_id", "input_tokens", "output_tokens", "success")
    return tuple(row[name] for name in names)


def settled(stored, count):
    """The rows when there are `count`, and still as many 0.3 s later: LiteLLM calls back in its own threads."""
    eventually(lambda: len(stored()) >= count)
    time.sleep(0.3)
    rows = stored()
    assert len(rows) == count
    return rows


async def callbacks_done(stored, count):
    """Wait for `count` rows in the event loop: LiteLLM calls back in its tasks, which end with the loop."""
    end = time.monotonic() + 10
    while len(stored()) < count and time.monotonic() < end:
        await asyncio.sleep(0.05)
    await asyncio.sleep(0.3)  # a second row of a call would come here


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
    assert values_of(row) == ("openai", "gpt-4o-2024-08-06", "tag_generation", "u_42", 2006, 300, True)
    assert (row["cache_read_input_tokens"], row["session_id"]) == (1920, "s")
    assert row["processing_time"] >= 0


def test_litellm_anthropic_with_a_cache(litellm, provider, stored):
    provider.prepare(ANSWERS["anthropic: cache read and written for an hour"])
    litellm.completion(
        model="anthropic/claude-opus-4-1-20250805", messages=ASK, api_base=provider.url, api_key="k", max_tokens=9
    )
    (row,) = settled(stored, 1)
    assert values_of(row)[:1] + values_of(row)[4:] == ("anthropic", 4096, 503, True)
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
        await callbacks_done(stored, 1)

    asyncio.run(main())
    (row,) = settled(stored, 1)
    assert row["input_tokens"] > 0
    assert row["success"]


METADATA = {"user_id": "u_l", "session_id": "s_l", "operation": "tag"}


@pytest.fixture
def clients(provider, recorder):
    """OpenAI's two clients, wrapped."""
    options = {"api_key": "k", "base_url": provider.url + "/v1", "max_retries": 0}
    sync, asynchronous = openai.OpenAI(**options), openai.AsyncOpenAI(**options)
    yield recorder.wrap(sync, user_id="u_w"), recorder.wrap(asynchronous, user_id="u_w")
    sync.close()


@pytest.fixture
def openai_options(provider):
    return {"api_base": provider.url + "/v1", "api_key": "k"}


def counts(rows):
    return sorted((row["input_tokens"], row["output_tokens"]) for row in rows)


def served(provider):
    return sorted((answer.input_tokens, answer.output_tokens) for answer in provider.served)


@pytest.mark.parametrize("stream", [False, True])
def test_litellm_over_a_wrapped_client_is_one_row_with_its_metadata(litellm, clients, provider, stored, stream):
    request = {"model": "openai/gpt-5-mini", "messages": ASK, "metadata": METADATA}
    request |= {"stream": True, "stream_options": {"include_usage": True}} if stream else {}
    sync, asynchronous = clients
    for _ in range(2):
        answer = litellm.completion(**request, client=sync)
        list(answer) if stream else None

    async def main():
        answer = await litellm.acompletion(**request, client=asynchronous)
        [chunk async for chunk in answer] if stream else None
        await callbacks_done(stored, 3)

    asyncio.run(main())
    rows = settled(stored, 3)
    assert counts(rows) == served(provider)
    assert {(row["user_id"], row["session_id"], row["operation"]) for row in rows} == {("u_l", "s_l", "tag")}
    assert {row["metadata"]["response_id"] for row in rows} == {answer.id for answer in provider.served}


def test_litellm_over_a_client_whose_server_repeats_ids(litellm, clients, provider, stored):
    provider.repeat_ids = provider.same_counts = True
    for _ in range(3):
        litellm.completion(model="openai/gpt-5-mini", messages=ASK, client=clients[0])
    assert counts(settled(stored, 3)) == served(provider)


def test_calls_after_litellm_are_separate_rows(litellm, clients, openai_options, provider, stored):
    for _ in range(3):
        litellm.completion(model="openai/gpt-5-mini", messages=ASK, metadata=METADATA, **openai_options)
        clients[0].chat.completions.create(model="gpt-5-mini", messages=ASK)
    rows = settled(stored, 6)
    assert counts(rows) == served(provider)
    assert sorted(row["user_id"] for row in rows) == ["u_l"] * 3 + ["u_w"] * 3


def test_bridged_calls_are_one_row(litellm, openai_options, provider, stored):
    litellm.responses(
        model="anthropic/claude-sonnet-5-0", input="Hi", api_base=provider.url, api_key="k", max_output_tokens=9
    )
    litellm.completion(model="openai/responses/gpt-5-mini", messages=ASK, **openai_options)

    async def main():
        await litellm.anthropic.messages.acreate(
            model="openai/gpt-5-mini", max_tokens=9, messages=ASK, **openai_options
        )
        await callbacks_done(stored, 3)

    asyncio.run(main())
    assert counts(settled(stored, 3)) == served(provider)


def test_calls_with_the_same_call_id_are_separate_rows(litellm, openai_options, provider, stored):
    for _ in range(3):
        litellm.completion(model="openai/gpt-5-mini", messages=ASK, litellm_call_id="abc", **openai_options)
    litellm.embedding(model="openai/text-embedding-3-small", input=["a"], litellm_call_id="abc", **openai_options)
    assert counts(settled(stored, 4)) == served(provider)


def test_simultaneous_calls_with_the_same_call_id_are_separate_rows(litellm, openai_options, provider, stored):
    async def main():
        ask = {"model": "openai/gpt-5-mini", "messages": ASK, "litellm_call_id": "abc", **openai_options}
        await asyncio.gather(*(litellm.acompletion(**ask) for _ in range(3)))
        await callbacks_done(stored, 3)

    asyncio.run(main())
    assert sorted(counts(settled(stored, 3))) == sorted(served(provider))


def test_a_retried_call_is_one_row(litellm, openai_options, provider, recorder, stored):
    provider.fail_with = 500
    with pytest.raises(litellm.exceptions.InternalServerError):
        litellm.completion(model="openai/gpt-5-mini", messages=ASK, num_retries=1, **openai_options)
    settled(stored, 1)
    recorder.close()
    assert [row["success"] for row in stored()] == [False]


@pytest.mark.parametrize("read", [0, 1])
def test_an_abandoned_stream_is_a_row_once_the_tracker_closes(litellm, openai_options, recorder, stored, read):
    for _ in range(2):
        stream = litellm.completion(
            model="openai/gpt-5-mini", messages=ASK, stream=True, litellm_call_id="abc", **openai_options
        )
        for _ in range(read):
            next(iter(stream))
        del stream
    recorder.close()
    rows = stored()
    assert [(row["success"], row["model"], row["metadata"]["stream"]) for row in rows] == [
        (False, "gpt-5-mini", "broken_off")
    ] * 2


def test_an_abandoned_stream_is_a_row_once_it_is_too_old(litellm, openai_options, stored, monkeypatch):
    monkeypatch.setattr("tracker.providers.frameworks.litellm._GIVE_UP_AFTER_S", 0.2)
    next(iter(litellm.completion(model="openai/gpt-5-mini", messages=ASK, stream=True, **openai_options)))
    (row,) = settled(stored, 1)
    assert (row["success"], row["metadata"]["stream"]) == (False, "broken_off")


def test_calls_without_an_end_are_bounded(litellm, openai_options, stored, monkeypatch):
    monkeypatch.setattr("tracker.providers.frameworks.litellm._MAX_CALLS", 1)
    streams = [
        litellm.completion(model="openai/gpt-5-mini", messages=ASK, stream=True, **openai_options) for _ in range(2)
    ]
    assert len(settled(stored, 1)) == len(streams) - 1


def test_operations_that_call_no_model_are_no_rows(litellm, openai_options, provider, stored):
    created = litellm.responses(model="openai/gpt-5-mini", input="Hi", **openai_options)
    settled(stored, 1)
    litellm.get_responses(created.id, custom_llm_provider="openai", **openai_options)
    litellm.moderation(input="Hi", model="omni-moderation-latest", **openai_options)
    file = litellm.create_file(file=b"{}", purpose="batch", custom_llm_provider="openai", **openai_options)
    litellm.file_retrieve(file.id, custom_llm_provider="openai", **openai_options)
    litellm.create_batch(
        completion_window="24h",
        endpoint="/v1/chat/completions",
        input_file_id=file.id,
        custom_llm_provider="openai",
        **openai_options,
    )
    assert len(settled(stored, 1)) == 1


def test_a_batch_polled_through_litellm_is_one_row(litellm, openai_options, provider, stored):
    options = {"custom_llm_provider": "openai", **openai_options}
    file = litellm.create_file(file=b"{}", purpose="batch", **options)
    batch = litellm.create_batch(
        completion_window="24h", endpoint="/v1/chat/completions", input_file_id=file.id, **options
    )
    for _ in range(4):
        litellm.retrieve_batch(batch.id, **options)
    (row,) = settled(stored, 1)
    assert row["metadata"]["calls"] == 2
    assert row["metadata"]["usage"]["service_tier"] == "batch"
    assert row["input_tokens"] == sum(answer.input_tokens for answer in provider.served)


@pytest.mark.parametrize("wrapped", [False, True])
def test_a_background_response_polled_through_litellm_is_one_row(
    litellm, clients, openai_options, provider, stored, wrapped
):
    created = litellm.responses(model="openai/gpt-5-mini", input="Hi", background=True, **openai_options)
    for _ in range(4):
        litellm.get_responses(created.id, custom_llm_provider="openai", **openai_options)
    (row,) = settled(stored, 1)
    assert (row["input_tokens"], row["model"]) == (provider.served[0].input_tokens, "gpt-5-mini-2025-08-07")
    if wrapped:  # the client polls the same response: the same id
        clients[0].responses.retrieve(provider.served[0].id)
        settled(stored, 1)


def test_every_call_type_of_litellm_is_classified():
    from litellm.types.utils import CallTypes

    from tracker.providers.frameworks import litellm_call_types as types

    groups = (types.MODEL_CALLS, types.NO_MODEL_CALLS, types.BACKGROUND, types.BATCH)
    for kind in CallTypes:
        assert sum(kind.value in group for group in groups) == 1, kind.value


def test_the_import_of_spend_logs_skips_the_same_call_types():
    import tomllib
    from importlib.resources import files

    from tracker.providers.frameworks import litellm_call_types as types

    profile = tomllib.loads((files("tracker") / "importing/profiles/litellm.toml").read_text(encoding="utf-8"))
    assert set(profile["skip"][0]["call_type"]) == types.NO_MODEL_CALLS | types.BACKGROUND
    assert set(profile["skip"][1]["call_type"]) == types.BATCH


def test_an_unknown_call_type_is_a_row_if_it_has_usage():
    from tracker.providers.frameworks.litellm_call_types import is_model_call

    assert is_model_call("anew_kind", {"usage": {"prompt_tokens": 1, "completion_tokens": 1}})
    assert not is_model_call("anew_kind", {"deleted": True})


def test_errors_of_litellm_over_a_wrapped_client_are_one_row(litellm, clients, provider, stored):
    provider.fail_with = 429
    with pytest.raises(litellm.RateLimitError):
        litellm.completion(model="openai/gpt-5-mini", messages=ASK, client=clients[0], max_retries=0)

    async def main():
        with pytest.raises(litellm.RateLimitError):
            await litellm.acompletion(model="openai/gpt-5-mini", messages=ASK, client=clients[1], max_retries=0)
        await callbacks_done(stored, 2)

    asyncio.run(main())
    assert [row["success"] for row in settled(stored, 2)] == [False] * 2


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
    assert values_of(row) == ("openai", "gpt-4o", "chat", "anonymous", 0, 0, False)
    assert row["error_message"].startswith("RateLimitError")


# --- LangChain's older answers --------------------------------------------------------------------------------


def test_text_models_of_langchain_are_rows(recorder, provider, stored):
    model = OpenAI(model="gpt-3.5-turbo-instruct", api_key="k", base_url=provider.url + "/v1")
    model.invoke("Hi", config={"callbacks": [langchain.TokenTracker(recorder)]})
    assert counts(eventually(stored)) == served(provider)


def test_langchains_answers_without_usage_are_marked(recorder, stored):
    handler = langchain.TokenTracker(recorder)
    handler.on_llm_end(LLMResult(generations=[[]], llm_output={}), run_id=uuid4())
    (row,) = stored()
    assert row["input_tokens"] == 0
    assert row["metadata"]["usage_problem"] == "usage_missing"


def test_langchains_older_answers_are_read(recorder, stored):
    handler = langchain.TokenTracker(recorder)
    stated = {"model_name": "gpt-4o", "token_usage": {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}}
    handler.on_llm_end(LLMResult(generations=[[]], llm_output=stated), run_id=uuid4())
    (row,) = stored()
    assert (row["model"], row["input_tokens"], row["output_tokens"]) == ("gpt-4o", 3, 2)
