"""One call that several sources of a process observe is one row: LangChain, LiteLLM, blocks, and wrapped clients."""

from __future__ import annotations

import asyncio
import gc
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import openai
import pytest
from langchain_anthropic import ChatAnthropic
from langchain_core.caches import InMemoryCache
from langchain_core.globals import set_llm_cache
from langchain_core.prompts import ChatPromptTemplate
from langchain_google_genai import ChatGoogleGenerativeAI
from langchain_openai import ChatOpenAI
from support import eventually

from tracker.providers.frameworks import langchain
from tracker.providers.responses import ParsedResponse
from tracker.recording.capture import dedupe
from tracker.recording.capture.dedupe import CallObservation, RecentCalls, is_same_call
from tracker.usage import new_id

# google-genai's use of aiohttp, and clients that the frameworks leave open.
pytestmark = [
    pytest.mark.filterwarnings(f"ignore::{kind}") for kind in ("DeprecationWarning", "ResourceWarning", "UserWarning")
]
ASK = [{"role": "user", "content": "Hi"}]
GPT = "gpt-5-mini"
COUNTS = ("input_tokens", "output_tokens", "cache_read_input_tokens", "cache_write_input_tokens")


@pytest.fixture
def config(recorder):
    """LangChain's configuration with our handler."""
    metadata = {"user_id": "u_lc", "session_id": "s_lc", "operation": "my_op"}
    return {"callbacks": [langchain.TokenTracker(recorder)], "metadata": metadata}


@pytest.fixture
def clients(provider, recorder):
    """OpenAI's two clients, wrapped."""
    options = {"api_key": "k", "base_url": provider.url + "/v1", "max_retries": 0}
    sync, asynchronous = openai.OpenAI(**options), openai.AsyncOpenAI(**options)
    yield recorder.wrap(sync, user_id="u_w"), recorder.wrap(asynchronous, user_id="u_w")
    sync.close()
    gc.collect()


def gpt(clients, **options):
    """LangChain's OpenAI model over wrapped clients."""
    sync, asynchronous = clients
    return ChatOpenAI(
        model=GPT,
        api_key="k",
        root_client=sync,
        client=sync.chat.completions,
        root_async_client=asynchronous,
        async_client=asynchronous.chat.completions,
        **options,
    )


@pytest.fixture
def models(provider, recorder, clients):
    """One LangChain model of each provider over wrapped clients."""
    claude = ChatAnthropic(model="claude-sonnet-5-0", api_key="k", base_url=provider.url, max_retries=0)
    recorder.wrap(claude._client)
    recorder.wrap(claude._async_client)
    google = ChatGoogleGenerativeAI(model="gemini-2.5-flash", api_key="k", base_url=provider.url, max_retries=1)
    recorder.wrap(google.client)
    return {
        "openai": gpt(clients, stream_usage=True),
        "responses": gpt(clients, use_responses_api=True),
        "anthropic": claude,
        "google": google,
    }


def counts(rows):
    return sorted(tuple(row[name] for name in COUNTS) for row in rows)


def check(stored, provider, **expected):
    """One row for each answer of the server, with its counts."""
    rows = eventually(lambda: len(stored()) >= len(provider.served) and stored())
    assert counts(rows) == sorted(tuple(getattr(answer, name) for name in COUNTS) for answer in provider.served)
    for row in rows:
        assert {name: row[name] for name in expected} == expected
    return rows


# --- LangChain ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["openai", "responses", "anthropic", "google"])
def test_langchain_over_a_wrapped_client_is_one_row_with_its_metadata(models, config, provider, stored, name):
    chain = ChatPromptTemplate.from_messages([("user", "{question}")]) | models[name]
    chain.invoke({"question": "Hi"}, config=config)
    assert len(list(chain.stream({"question": "Hi"}, config=config))) >= 2

    async def main():
        await chain.ainvoke({"question": "Hi"}, config=config)
        assert [chunk async for chunk in chain.astream({"question": "Hi"}, config=config)]
        models[name].invoke("Hi", config=config)  # synchronously, inside an event loop

    asyncio.run(main())
    assert len(provider.served) == 5
    rows = check(stored, provider, user_id="u_lc", session_id="s_lc", operation="my_op", success=True)
    assert sorted(row["metadata"]["response_id"] for row in rows) == sorted(answer.id for answer in provider.served)


@pytest.mark.parametrize("name", ["openai", "anthropic", "google"])
def test_langchain_alone_is_one_row_a_call(provider, config, stored, name):
    model = {
        "openai": lambda: ChatOpenAI(model=GPT, api_key="k", base_url=provider.url + "/v1", stream_usage=True),
        "anthropic": lambda: ChatAnthropic(model="claude-sonnet-5-0", api_key="k", base_url=provider.url),
        "google": lambda: ChatGoogleGenerativeAI(model="gemini-2.5-flash", api_key="k", base_url=provider.url),
    }[name]()
    model.invoke("Hi", config=config)
    list(model.stream("Hi", config=config))
    rows = eventually(lambda: len(stored()) == 2 and stored())
    assert [(row["input_tokens"], row["output_tokens"], row["user_id"]) for row in rows] == [
        (answer.input_tokens, answer.output_tokens, "u_lc") for answer in provider.served
    ]


def test_a_stream_without_usage_is_one_marked_row(clients, config, provider, stored):
    list(gpt(clients).stream("Hi", config=config))
    (row,) = eventually(stored)
    assert (row["user_id"], row["input_tokens"]) == ("u_lc", 0)
    assert row["metadata"]["response_id"] == provider.served[0].id
    assert row["metadata"]["usage_problem"] == "stream_usage_missing"


def test_calls_after_langchain_are_separate_rows(clients, config, provider, stored):
    sync, asynchronous = clients
    model = gpt(clients)
    model.invoke("Hi", config=config)
    sync.chat.completions.create(model=GPT, messages=ASK)

    async def main():
        await model.ainvoke("Hi", config=config)
        await asynchronous.chat.completions.create(model=GPT, messages=ASK)

    asyncio.run(main())
    assert [row["user_id"] for row in check(stored, provider)] == ["u_lc", "u_w", "u_lc", "u_w"]


def test_errors_are_one_row(clients, config, provider, stored):
    provider.fail_with = 500
    with pytest.raises(openai.InternalServerError):
        gpt(clients).invoke("Hi", config=config)

    async def main():
        with pytest.raises(openai.InternalServerError):
            await gpt(clients).ainvoke("Hi", config=config)

    asyncio.run(main())
    rows = eventually(lambda: len(stored()) == 2 and stored())
    assert [(row["user_id"], row["success"]) for row in rows] == [("u_lc", False)] * 2
    plain = ChatOpenAI(model=GPT, api_key="k", base_url=provider.url + "/v1", max_retries=0)
    with pytest.raises(openai.InternalServerError):
        plain.invoke("Hi", config=config)
    assert [row["success"] for row in eventually(lambda: len(stored()) == 3 and stored())] == [False] * 3


def test_a_langchain_stream_that_is_left_is_one_row(models, config, stored, provider):
    for _ in models["anthropic"].stream("Hi", config=config):
        break
    gc.collect()
    (row,) = eventually(stored)
    threading.Event().wait(0.5)
    assert len(stored()) == 1
    assert row["user_id"] == "u_lc"
    if row["success"]:  # the client had read the whole stream before it was left
        check(stored, provider)
    else:
        assert row["metadata"]["stream"] == "broken_off"


def test_equal_calls_at_once_stay_as_many_rows(clients, config, provider, stored):
    provider.repeat_ids = provider.same_counts = True
    provider.delay_s = 0.02
    model = gpt(clients)
    with ThreadPoolExecutor(4) as pool:
        direct = [pool.submit(clients[0].chat.completions.create, model=GPT, messages=ASK) for _ in range(6)]
        model.batch(["Hi"] * 6, config={**config, "max_concurrency": 4})
        [future.result() for future in direct]
    rows = check(stored, provider)
    assert sorted(row["user_id"] for row in rows) == ["u_lc"] * 6 + ["u_w"] * 6


def test_langchains_cache_hits_are_no_rows(clients, config, provider, stored):
    set_llm_cache(InMemoryCache())
    try:
        for model in (gpt(clients), ChatOpenAI(model="gpt-5", api_key="k", base_url=provider.url + "/v1")):
            for _ in range(3):
                model.invoke("Hi", config=config)
            asyncio.run(model.ainvoke("Hi", config=config))
    finally:
        set_llm_cache(None)
    assert len(provider.served) == 2
    check(stored, provider)


def test_a_message_of_langchain_that_a_client_recorded_is_a_duplicate(clients, provider, recorder, stored):
    message = gpt(clients).invoke("Hi")
    assert recorder.record_response(message).status == "duplicate"
    check(stored, provider)


# --- blocks -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("handler", [False, True])
@pytest.mark.parametrize("name", ["openai", "anthropic", "google"])
def test_a_block_that_gets_langchains_answer_is_one_row(models, config, provider, recorder, stored, handler, name):
    options = {"config": config} if handler else {}
    with recorder.track(user_id="u_b", operation="blk") as call:
        call.response = models[name].invoke("Hi", **options)
    (row,) = check(stored, provider, user_id="u_b", operation="blk")
    assert str(call.outcome.id) == row["id"]
    with recorder.track(user_id="u_b", operation="blk") as call:
        call.response = models[name].stream("Hi", **options)
        list(call.response)
    check(stored, provider, user_id="u_b", operation="blk")


def test_a_block_around_langchain_alone_is_one_row(provider, config, recorder, stored):
    model = ChatOpenAI(model=GPT, api_key="k", base_url=provider.url + "/v1")
    with recorder.track(user_id="u_b") as call:
        call.response = model.invoke("Hi", config=config)
    check(stored, provider, user_id="u_b", session_id="s_lc")


def test_a_block_in_another_context_than_its_call_is_one_row(clients, provider, recorder, stored):
    create = clients[0].chat.completions.create
    with ThreadPoolExecutor(1) as pool, recorder.track(user_id="u_b") as call:
        call.response = pool.submit(create, model=GPT, messages=ASK).result().model_dump()
    check(stored, provider)
    assert call.outcome.status == "duplicate"


def test_a_block_with_its_own_response_is_a_separate_row(clients, provider, recorder, stored):
    with recorder.track(user_id="u_b") as call:
        clients[0].chat.completions.create(model=GPT, messages=ASK)
        call.response = {"id": "other", "model": GPT, "usage": {"prompt_tokens": 1, "completion_tokens": 1}}
    assert sorted(row["input_tokens"] for row in stored()) == [1, provider.served[0].input_tokens]


def test_two_recorders_write_a_row_each(clients, config, new_tracker, provider, stored):
    other = new_tracker()
    gpt(clients).invoke("Hi", config={"callbacks": [langchain.TokenTracker(other)]})
    assert len(stored()) == 2


# --- the rule -----------------------------------------------------------------------------------------------------


def observed(source="client", model=GPT, response_id=None, given=10, made=5, started_s=0.0, ended_s=1.0, **parts):
    numbers = {"input_tokens": given, "output_tokens": made, **parts} if given else {}
    answer = ParsedResponse(numbers, model=model, response_id=response_id)
    return dedupe.observation_of(source, answer, None, failed=False, started_s=started_s, ended_s=ended_s)


@pytest.mark.parametrize(
    ("other", "same"),
    [
        ({}, True),
        ({"source": "client"}, False),  # servers repeat response ids
        ({"model": "gpt-5-nano"}, False),
        ({"model": "openai/gpt-5-mini"}, True),
        ({"model": "gpt-5-mini-2025-08-07"}, True),
        ({"model": "gpt-5"}, False),
        ({"given": 11}, False),
        ({"cache_read_input_tokens": 4}, True),
        ({"started_s": 1.1, "ended_s": 2.0}, False),
        ({"started_s": 0.9, "ended_s": 2.0}, True),
        ({"given": 0, "made": 0}, False),
    ],
)
def test_two_observations_are_one_call_only_if(other, same):
    assert is_same_call(observed(), observed(**{"source": "langchain", **other})) is same


def test_ids_decide_where_both_state_one():
    first = observed(response_id="r1")
    assert is_same_call(first, observed("block", response_id="r1", given=99))
    assert not is_same_call(first, observed("block", response_id="r2"))
    assert not is_same_call(observed(cache_read_input_tokens=4), observed("block", cache_read_input_tokens=5))


def test_models_of_two_versions_differ():
    assert not is_same_call(observed(model="gpt-5-2025-08-07"), observed("block", model="gpt-5-2025-10-01"))


def test_the_lookup_is_bounded_in_count_and_age():
    class Recorder:
        pass

    recorder, recent = Recorder(), RecentCalls(max_entries=100, max_age_s=60)
    now = time.monotonic()

    def seen(source, number, age_s=0.0) -> CallObservation:
        return observed(source, response_id=f"r{number}", started_s=now - age_s - 1, ended_s=now - age_s)

    for number in range(1000):
        assert recent.match_or_register(recorder, seen("client", number), new_id()) is None
    assert len(recent) <= 100
    assert len(recent._by_key) <= 101
    assert recent.match_or_register(recorder, seen("langchain", 999), new_id()) is not None
    assert recent.match_or_register(recorder, seen("langchain", 999), new_id()) is None  # one to one
    assert recent.match_or_register(recorder, seen("block", 1), new_id()) is None  # expired by count
    aged = RecentCalls(max_age_s=60)
    aged.register(recorder, seen("client", 1, age_s=120), new_id())
    aged.register(recorder, seen("client", 2), new_id())
    assert len(aged) == 1
