"""A context reaches the calls of wrapped clients and of the callbacks of LangChain and LiteLLM."""

from __future__ import annotations

import asyncio
import gc
import time

import openai
import pytest
from langchain_openai import ChatOpenAI
from support import eventually

from tracker.providers.frameworks import langchain
from tracker.recording.capture import background_responses

pytestmark = [
    pytest.mark.filterwarnings(f"ignore::{kind}") for kind in ("UserWarning", "DeprecationWarning", "ResourceWarning")
]
ASK = [{"role": "user", "content": "Hi"}]
GPT = "gpt-5-mini"
STREAM = {"model": GPT, "messages": ASK, "stream": True, "stream_options": {"include_usage": True}}
FIELDS = ("user_id", "session_id", "provider", "operation")


def values_of(row):
    return (*(row[name] for name in FIELDS), row["metadata"].get("team"))


@pytest.fixture
def gpt(provider, recorder):
    with openai.OpenAI(api_key="k", base_url=provider.url + "/v1", max_retries=0) as client:
        yield client


def test_a_wrapped_client(gpt, recorder, provider, stored):
    recorder.wrap(gpt, user_id="wrapped")
    with recorder.context(user_id="u", session_id="s", provider="azure", operation="search", team="a", stream="news"):
        gpt.chat.completions.create(model=GPT, messages=ASK)
        stream = gpt.chat.completions.create(**STREAM)
        with recorder.track(operation="block", metadata={"team": "block"}):
            gpt.chat.completions.create(model=GPT, messages=ASK)
    with recorder.context(user_id="other", team="b"):
        list(stream)  # finishes in the context of another request
        abandoned = gpt.chat.completions.create(**STREAM)
        next(iter(abandoned))
    with recorder.context(team="c"):
        del abandoned
        gc.collect()
        rows = eventually(lambda: len(stored()) == 4 and stored())
    assert sorted(map(values_of, rows), key=lambda row: row[3:]) == [
        ("wrapped", "s", "azure", "block", "block"),
        ("wrapped", None, rows[-1]["provider"], "chat", "b"),
        ("wrapped", "s", "azure", "search", "a"),
        ("wrapped", "s", "azure", "search", "a"),
    ]
    # What was read from the call comes before the context.
    assert [row["metadata"].get("stream") for row in rows].count("broken_off") == 1
    assert [row["metadata"].get("stream") for row in rows].count("news") == 3


def test_an_asynchronous_client_with_concurrent_tasks(provider, recorder, stored):
    async def request(client, number):
        async with recorder.context(session_id=f"s{number}", team=f"t{number}"):
            chunks = await client.chat.completions.create(**STREAM)
        return chunks, number

    async def main():
        async with openai.AsyncOpenAI(api_key="k", base_url=provider.url + "/v1", max_retries=0) as client:
            recorder.wrap(client)
            for chunks, _ in await asyncio.gather(*(request(client, number) for number in range(10))):
                async with recorder.context(team="reader"):
                    assert [chunk async for chunk in chunks]

    asyncio.run(main())
    assert sorted((row["session_id"], row["metadata"]["team"]) for row in stored()) == [
        (f"s{number}", f"t{number}") for number in range(10)
    ]


def test_background_responses_have_the_context_of_their_creation(gpt, recorder, provider, stored):
    recorder.wrap(gpt)
    with recorder.context(user_id="u", provider="azure", team="creation", feature="f"):
        created = gpt.responses.create(model=GPT, input="Hi", background=True)
        gpt.responses.create(model=GPT, input="Hi", background=True)  # never retrieved
    with recorder.context(user_id="poller", team="poll", worker="w"):
        while gpt.responses.retrieve(created.id).status != "completed":
            pass
        background_responses.record_never_retrieved(recorder)
    retrieved, never = stored()
    for row in (retrieved, never):
        assert (row["user_id"], row["metadata"]["team"], row["metadata"]["feature"]) == ("u", "creation", "f")
        assert "worker" not in row["metadata"]
    assert never["metadata"]["usage_problem"] == "response_never_retrieved"
    assert retrieved["provider"] == never["provider"]


def test_a_response_that_another_process_created_has_the_context_of_its_poll(gpt, recorder, provider, stored):
    created = gpt.responses.create(model=GPT, input="Hi", background=True)  # not wrapped
    recorder.wrap(gpt)
    with recorder.context(user_id="poller", team="poll"):
        while gpt.responses.retrieve(created.id).status != "completed":
            pass
    (row,) = stored()
    assert (row["user_id"], row["metadata"]["team"]) == ("poller", "poll")


def test_a_batch_has_the_context_of_the_request_that_completes_it(gpt, recorder, provider, stored):
    recorder.wrap(gpt)
    file = gpt.files.create(file=b'{"custom_id": "1"}', purpose="batch")
    batch = gpt.batches.create(input_file_id=file.id, endpoint="/v1/chat/completions", completion_window="24h")
    with recorder.context(user_id="u", operation="nightly", team="batch"):
        eventually(lambda: gpt.batches.retrieve(batch.id).status == "completed")
    (row,) = eventually(stored)
    assert (row["user_id"], row["operation"], row["metadata"]["team"]) == ("u", "nightly", "batch")
    assert row["metadata"]["calls"] >= 1


def test_langchain(provider, recorder, stored):
    config = {"callbacks": [langchain.TokenTracker(recorder)], "metadata": {"user_id": "run"}}
    model = ChatOpenAI(model=GPT, base_url=provider.url + "/v1", api_key="k", max_retries=0)
    with recorder.context(user_id="u", session_id="s", operation="chain", team="a"):
        model.invoke("Hi", config=config)
        chunks = model.stream("Hi", config=config, stream_usage=True)
        next(chunks)
    with recorder.context(team="b"):
        list(chunks)

    async def main():
        async with recorder.context(team="async"):
            await model.ainvoke("Hi", config=config)

    asyncio.run(main())
    rows = eventually(lambda: len(stored()) == 3 and stored())
    assert [(row["user_id"], row["operation"], row["metadata"]["team"]) for row in rows] == [
        ("run", "chain", "a"),
        ("run", "chain", "a"),
        ("run", "chat", "async"),
    ]


def test_litellm(provider, recorder, stored, monkeypatch):
    import litellm

    from tracker.sources.litellm import TokenTracker

    monkeypatch.setattr(litellm, "callbacks", [TokenTracker(recorder)])
    for name in ("input", "success", "failure", "_async_success", "_async_failure", "_async_input"):
        monkeypatch.setattr(litellm, f"{name}_callback", [])
    call = {"model": f"openai/{GPT}", "messages": ASK, "api_base": provider.url + "/v1", "api_key": "k"}
    with recorder.context(user_id="u", operation="search", team="a"):
        litellm.completion(**call)
        chunks = litellm.completion(**call, stream=True, stream_options={"include_usage": True})
    with recorder.context(user_id="other", team="b"):
        list(chunks)
        litellm.completion(**call, user="own", metadata={"operation": "given"})
    rows = eventually(lambda: len(stored()) == 3 and stored())

    async def request(number):
        async with recorder.context(session_id=f"s{number}", team=f"t{number}"):
            await litellm.acompletion(**call)

    async def main():
        await asyncio.gather(*(request(number) for number in range(5)))
        end = time.monotonic() + 10
        while len(stored()) < 8 and time.monotonic() < end:
            await asyncio.sleep(0.05)

    asyncio.run(main())
    litellm.in_memory_llm_clients_cache.flush_cache()
    gc.collect()
    assert sorted((row["user_id"], row["operation"], row["metadata"]["team"]) for row in rows) == [
        ("own", "given", "b"),
        ("u", "search", "a"),
        ("u", "search", "a"),
    ]
    assert sorted((row["session_id"], row["metadata"]["team"]) for row in stored()[3:]) == [
        (f"s{number}", f"t{number}") for number in range(5)
    ]
