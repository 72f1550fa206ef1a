"""`recorder.wrap(client)` around the official clients, against a provider on this machine."""

from __future__ import annotations

import asyncio
import gc
import json
from pathlib import Path

import anthropic
import openai
import pytest
from google import genai
from google.genai import types as gemini
from support import eventually

from tracker import UsageTypeError

# google-genai's own way of using aiohttp, which the tests' environment has for LiteLLM.
pytestmark = pytest.mark.filterwarnings("ignore:Inheritance class AiohttpClientSession:DeprecationWarning")
ANSWERS = {
    f"{path.stem}: {case['name']}": case.get("answer") or case.get("stream")
    for path in (Path(__file__).parent / "responses").glob("*.json")
    for case in json.loads(path.read_text(encoding="utf-8"))
}
ASK = [{"role": "user", "content": "Hi"}]
COMPARED_COLUMNS = ("provider", "model", "operation", "input_tokens", "output_tokens", "success")


@pytest.fixture
def clients(provider, recorder):
    """Wrapped clients that speak to the provider on this machine."""
    made = {
        "openai": openai.OpenAI(api_key="k", base_url=provider.url + "/v1", max_retries=0),
        "aopenai": openai.AsyncOpenAI(api_key="k", base_url=provider.url + "/v1", max_retries=0),
        "anthropic": anthropic.Anthropic(api_key="k", base_url=provider.url, max_retries=0),
        "aanthropic": anthropic.AsyncAnthropic(api_key="k", base_url=provider.url, max_retries=0),
        "genai": genai.Client(api_key="k", http_options=gemini.HttpOptions(base_url=provider.url)),
    }
    for name, client in made.items():
        assert recorder.wrap(client, session_id="s-1") is client, name
    yield made
    for name in ("openai", "anthropic", "genai"):
        made[name].close()
    gc.collect()  # reports unclosed resources in this test, not in a later one


def values_of(rows):
    return [tuple(row[name] for name in COMPARED_COLUMNS) for row in rows]


# --- whole answers ------------------------------------------------------------------------------------------------


def test_openai_chat(clients, provider, stored):
    provider.prepare(ANSWERS["openai_chat: text"])
    answer = clients["openai"].chat.completions.create(model="gpt-4.1", messages=ASK)
    assert type(answer) is openai.types.chat.ChatCompletion
    assert answer.choices[0].message.content == "Hello! How can I assist you today?"
    (row,) = stored()
    assert values_of([row]) == [("openai", "gpt-4.1-2025-04-14", "chat", 19, 10, True)]
    assert row["session_id"] == "s-1"
    assert row["metadata"] == {"response_id": answer.id, "request_model": "gpt-4.1"}


def test_openai_responses_and_embeddings(clients, provider, stored):
    provider.prepare(ANSWERS["openai_responses: text"], ANSWERS["openai_chat: embedding"])
    clients["openai"].responses.create(model="gpt-4o", input="Hi")
    clients["openai"].embeddings.create(model="text-embedding-ada-002", input="Hi", encoding_format="float")
    assert values_of(stored()) == [
        ("openai", "gpt-4o-2024-08-06", "chat", 328, 52, True),
        ("openai", "text-embedding-ada-002", "embeddings", 8, 0, True),
    ]


def test_anthropic_messages(clients, provider, stored):
    provider.prepare(ANSWERS["anthropic: cache read and written for an hour"])
    clients["anthropic"].messages.create(model="claude-opus-4-1", max_tokens=9, messages=ASK)
    (row,) = stored()
    assert values_of([row]) == [("anthropic", "claude-opus-4-1-20250805", "chat", 4096, 503, True)]
    assert (row["cache_read_input_tokens"], row["cache_write_input_tokens"]) == (1800, 248)
    assert row["metadata"]["usage"] == {"cache_write_1h_tokens": 100}


def test_gemini(clients, provider, stored):
    provider.prepare(ANSWERS["gemini: thinking"])
    answer = clients["genai"].models.generate_content(model="gemini-2.5-flash", contents="Hi")
    assert answer.text == "42"
    (row,) = stored()
    assert values_of([row]) == [("google", "gemini-2.5-flash", "chat", 75, 162, True)]
    assert row["reasoning_output_tokens"] == 144


def test_asynchronous_clients(clients, provider, stored):
    provider.prepare(
        ANSWERS["openai_chat: text"], ANSWERS["anthropic: text"], ANSWERS["gemini: text"], ANSWERS["gemini: text"]
    )

    async def main():
        await clients["aopenai"].chat.completions.create(model="gpt-4.1", messages=ASK)
        await clients["aanthropic"].messages.create(model="c", max_tokens=9, messages=ASK)
        await clients["genai"].aio.models.generate_content(model="gemini-2.0-flash", contents="Hi")
        chat = clients["genai"].aio.chats.create(model="gemini-2.0-flash")
        await chat.send_message("Hi")
        await clients["aopenai"].close()
        await clients["aanthropic"].close()
        await clients["genai"].aio.aclose()

    asyncio.run(main())
    assert [row["input_tokens"] for row in stored()] == [19, 12, 8, 8]


def test_each_request_of_automatic_function_calling_is_a_row(clients, provider, stored):
    provider.prepare(ANSWERS["gemini: function call"], ANSWERS["gemini: text"])

    def set_light_values(brightness: int) -> str:
        """Set the light."""
        return "done"

    answer = clients["genai"].models.generate_content(
        model="gemini-2.5-flash",
        contents="Dim the light",
        config=gemini.GenerateContentConfig(tools=[set_light_values]),
    )
    assert answer.text == "Hello!"
    assert [row["input_tokens"] for row in stored()] == [131, 8]


def test_calls_that_use_no_tokens_are_not_recorded(clients, provider, stored):
    provider.prepare({"input_tokens": 12})
    assert clients["anthropic"].messages.count_tokens(model="c", messages=ASK).input_tokens == 12
    assert stored() == []


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore:The generate_(images|videos) method")
def test_calls_that_are_billed_without_tokens_are_marked_rows(clients, provider, recorder, stored):
    gpt, options = clients["openai"], gemini.HttpOptions(base_url=provider.url)
    google = recorder.wrap(genai.Client(vertexai=True, api_key="k", http_options=options))
    video = {"id": "video_1", "object": "video", "model": "sora-2", "status": "queued", "seconds": "4"}
    for answer in (b"sound", {"created": 1, "data": []}, video, {"name": "operations/1"}):
        provider.prepare(answer)
    assert gpt.audio.speech.create(model="tts-1", voice="alloy", input="Hi").content
    gpt.images.create_variation(model="dall-e-2", image=b"image")
    assert gpt.videos.create(model="sora-2", prompt="A cat").id == "video_1"
    google.models.generate_videos(model="veo-3.0-generate-001", prompt="A cat")
    google.close()
    rows = stored()
    assert [row["model"] for row in rows] == ["tts-1", "dall-e-2", "sora-2", "veo-3.0-generate-001"]
    assert {(row["metadata"]["usage_problem"], row["success"], row["cost"]) for row in rows} == {
        ("usage_missing", True, None)
    }


def test_raw_responses_are_returned_unchanged(clients, provider, stored):
    provider.prepare(ANSWERS["openai_chat: text"], ANSWERS["anthropic: text"])
    raw = clients["openai"].chat.completions.with_raw_response.create(model="gpt-4.1", messages=ASK)
    assert raw.http_response.status_code == 200
    assert raw.parse().usage.total_tokens == 29
    clients["anthropic"].messages.with_raw_response.create(model="c", max_tokens=9, messages=ASK)
    assert [row["input_tokens"] for row in stored()] == [19, 12]


def test_a_client_made_from_a_wrapped_one_records_too(clients, provider, stored):
    provider.prepare(ANSWERS["openai_chat: text"])
    clients["openai"].with_options(timeout=5).chat.completions.create(model="gpt-4.1", messages=ASK)
    assert [row["session_id"] for row in stored()] == ["s-1"]


# --- streams ------------------------------------------------------------------------------------------------------


def test_openai_streams(clients, provider, stored):
    provider.prepare(
        ANSWERS["openai_chat: streamed with usage"],
        ANSWERS["openai_responses: streamed"],
        ANSWERS["openai_chat: streamed without usage"],
    )
    client = clients["openai"]
    stream = client.chat.completions.create(model="gpt-4o-mini", messages=ASK, stream=True)
    assert type(stream) is openai.Stream
    assert len(list(stream)) == 4
    with client.responses.create(model="gpt-4.1", input="Hi", stream=True) as events:
        assert [event.type for event in events][-1] == "response.completed"
    list(client.chat.completions.create(model="gpt-4o-mini", messages=ASK, stream=True))
    rows = stored()
    assert [(row["input_tokens"], row["output_tokens"]) for row in rows] == [(9, 1), (37, 11), (0, 0)]
    assert rows[2]["metadata"]["usage_problem"] == "stream_usage_missing"


def test_anthropic_streams(clients, provider, stored):
    provider.prepare(ANSWERS["anthropic: streamed"], ANSWERS["anthropic: streamed with web search"])
    client = clients["anthropic"]
    list(client.messages.create(model="c", max_tokens=9, messages=ASK, stream=True))
    with client.messages.stream(model="c", max_tokens=9, messages=ASK) as stream:
        stream.until_done()
    assert [(row["input_tokens"], row["output_tokens"]) for row in stored()] == [(25, 15), (10682, 510)]


def test_gemini_streams(clients, provider, stored):
    provider.prepare(ANSWERS["gemini: streamed"])
    chunks = list(clients["genai"].models.generate_content_stream(model="gemini-2.5-flash", contents="Hi"))
    assert "".join(chunk.text for chunk in chunks) == "Once upon a time."
    assert values_of(stored()) == [("google", "gemini-2.5-flash", "chat", 7, 64, True)]


def test_asynchronous_streams(clients, provider, stored):
    provider.prepare(
        ANSWERS["openai_chat: streamed with usage"], ANSWERS["anthropic: streamed"], ANSWERS["gemini: streamed"]
    )

    async def main():
        stream = await clients["aopenai"].chat.completions.create(model="m", messages=ASK, stream=True)
        assert [chunk async for chunk in stream][-1].usage.total_tokens == 10
        async with clients["aanthropic"].messages.stream(model="c", max_tokens=9, messages=ASK) as events:
            assert await events.get_final_text() == "Hello"
        chunks = await clients["genai"].aio.models.generate_content_stream(model="gemini-2.5-flash", contents="Hi")
        assert len([chunk async for chunk in chunks]) == 3
        await clients["aopenai"].close()
        await clients["aanthropic"].close()
        await clients["genai"].aio.aclose()

    asyncio.run(main())
    assert [(row["input_tokens"], row["output_tokens"]) for row in stored()] == [(9, 1), (25, 15), (7, 64)]


@pytest.mark.parametrize("how", ["close", "drop", "with"])
def test_an_interrupted_stream_is_recorded_with_the_known_counts(clients, provider, stored, how):
    provider.prepare(ANSWERS["anthropic: streamed"])
    stream = clients["anthropic"].messages.create(model="c", max_tokens=9, messages=ASK, stream=True)
    if how == "with":
        with stream:
            next(iter(stream))
    else:
        next(stream)
        if how == "close":
            stream.close()
        del stream
    gc.collect()
    (row,) = eventually(stored)
    assert (row["input_tokens"], row["output_tokens"], row["success"]) == (25, 1, False)
    assert row["metadata"]["stream"] == "broken_off"


def test_gemini_streams_broken_off(clients, provider, stored):
    provider.prepare(ANSWERS["gemini: streamed"], ANSWERS["gemini: streamed"])
    for _ in clients["genai"].models.generate_content_stream(model="gemini-2.5-flash", contents="Hi"):
        break

    async def main():
        async for _ in await clients["genai"].aio.models.generate_content_stream(model="g", contents="Hi"):
            break
        gc.collect()
        await asyncio.sleep(0.1)
        await clients["genai"].aio.aclose()

    asyncio.run(main())
    rows = eventually(lambda: len(stored()) == 2 and stored())
    assert [(row["input_tokens"], row["success"]) for row in rows] == [(7, False)] * 2


# --- errors -------------------------------------------------------------------------------------------------------


def test_an_error_propagates_unchanged_and_is_recorded_by_its_type(clients, provider, stored):
    provider.prepare(ANSWERS["openai_chat: error"], ANSWERS["anthropic: error"], ANSWERS["gemini: error"], status=429)
    with pytest.raises(openai.RateLimitError) as caught:
        clients["openai"].chat.completions.create(model="gpt-4o", messages=ASK)
    assert caught.value.code == "rate_limit_exceeded"
    with pytest.raises(anthropic.APIStatusError):
        clients["anthropic"].messages.create(model="c", max_tokens=9, messages=ASK)
    with pytest.raises(genai.errors.ClientError):
        clients["genai"].models.generate_content(model="gemini-2.5-flash", contents="Hi")
    rows = stored()
    assert [row["success"] for row in rows] == [False] * 3
    assert [row["model"] for row in rows] == ["gpt-4o", "c", "gemini-2.5-flash"]
    assert [row["error_message"].split(":")[0] for row in rows] == ["RateLimitError", "RateLimitError", "ClientError"]


def outcome_of(work):
    """The number of chunks that a caller gets, and the exception that ends the stream."""
    chunks = 0
    try:
        for _ in work():
            chunks += 1
    except Exception as error:  # noqa: BLE001  any error is compared
        return chunks, type(error), str(error)
    return chunks, None, ""


@pytest.mark.parametrize("library", ["openai", "anthropic", "genai"])
def test_a_stream_that_the_network_cuts_ends_as_it_does_without_us(clients, provider, stored, library):
    def plain():
        return {
            "openai": lambda: openai.OpenAI(api_key="k", base_url=provider.url + "/v1", max_retries=0),
            "anthropic": lambda: anthropic.Anthropic(api_key="k", base_url=provider.url, max_retries=0),
            "genai": lambda: genai.Client(api_key="k", http_options=gemini.HttpOptions(base_url=provider.url)),
        }[library]()

    def ask(client):
        if library == "openai":
            return client.chat.completions.create(model="gpt-4o-mini", messages=ASK, stream=True)
        if library == "anthropic":
            return client.messages.create(model="c", max_tokens=9, messages=ASK, stream=True)
        return client.models.generate_content_stream(model="gemini-2.5-flash", contents="Hi")

    case = {
        "openai": "openai_chat: streamed with usage",
        "anthropic": "anthropic: streamed",
        "genai": "gemini: streamed",
    }
    cut = [*ANSWERS[case[library]][:2], "cut"]
    provider.prepare(cut, cut)
    bare = plain()
    expected = outcome_of(lambda: ask(bare))
    bare.close()
    assert expected[1] is not None
    assert outcome_of(lambda: ask(clients[library])) == expected
    (row,) = eventually(stored)
    assert row["input_tokens"] == {"openai": 0, "anthropic": 25, "genai": 7}[library]
    assert row["success"] is False
    assert row["error_message"].startswith(expected[1].__name__)


def test_an_error_in_a_stream_propagates_and_the_counts_before_it_are_recorded(clients, provider, stored):
    provider.prepare(ANSWERS["anthropic: streamed until an error in the stream"])
    with pytest.raises(anthropic.APIStatusError) as caught:
        list(clients["anthropic"].messages.create(model="c", max_tokens=9, messages=ASK, stream=True))
    assert "overloaded_error" in str(caught.value)
    (row,) = stored()
    assert (row["input_tokens"], row["cache_read_input_tokens"], row["success"]) == (1025, 1000, False)


def test_asynchronous_streams_broken_off(clients, provider, stored):
    provider.prepare(ANSWERS["openai_chat: streamed with usage"], ANSWERS["anthropic: streamed"])

    async def main():
        stream = await clients["aopenai"].chat.completions.create(model="gpt-4o-mini", messages=ASK, stream=True)
        await anext(aiter(stream))
        await stream.close()
        async with await clients["aanthropic"].messages.create(
            model="c", max_tokens=9, messages=ASK, stream=True
        ) as events:
            await anext(aiter(events))
        await clients["aopenai"].close()
        await clients["aanthropic"].close()

    asyncio.run(main())
    rows = eventually(lambda: len(stored()) == 2 and stored())
    assert [(row["input_tokens"], row["success"]) for row in rows] == [(0, False), (25, False)]
    assert {row["metadata"]["stream"] for row in rows} == {"broken_off"}


def test_a_database_that_is_gone_does_not_touch_the_call(provider, new_tracker):
    broken = new_tracker(database_url="postgresql://u@127.0.0.1:1/db", max_retries=0, deadline_s=1)
    client = broken.wrap(openai.OpenAI(api_key="k", base_url=provider.url + "/v1", max_retries=0))
    provider.prepare(ANSWERS["openai_chat: text"], ANSWERS["openai_chat: streamed with usage"])
    assert client.chat.completions.create(model="gpt-4.1", messages=ASK).usage.total_tokens == 29
    assert len(list(client.chat.completions.create(model="m", messages=ASK, stream=True))) == 4
    client.close()


def test_an_object_that_is_not_a_client_is_refused(recorder):
    with pytest.raises(UsageTypeError, match="openai, anthropic or google-genai"):
        recorder.wrap(object())
    with pytest.raises(UsageTypeError, match="created_at"):
        recorder.wrap(object(), created_at="now")


# --- nothing twice ------------------------------------------------------------------------------------------------


def test_wrapping_twice_records_once(clients, provider, recorder, stored):
    provider.prepare(ANSWERS["openai_chat: text"])
    recorder.wrap(clients["openai"]).chat.completions.create(model="gpt-4.1", messages=ASK)
    assert len(stored()) == 1


def test_an_answer_that_the_wrapper_recorded_is_a_duplicate(clients, provider, recorder, stored):
    provider.prepare(ANSWERS["openai_chat: text"], ANSWERS["gemini: text"])
    answer = clients["openai"].chat.completions.create(model="gpt-4.1", messages=ASK)
    again = recorder.record_response(answer, user_id="u")
    (row,) = stored()
    assert (again.status, str(again.id)) == ("duplicate", row["id"])
    answer = clients["genai"].models.generate_content(model="gemini-2.0-flash", contents="Hi")
    assert recorder.record_response(answer).status == "duplicate"


def test_a_block_around_a_wrapped_call_gives_it_its_fields(clients, provider, recorder, stored):
    provider.prepare(*[ANSWERS["openai_chat: text"]] * 3)
    create = clients["openai"].chat.completions.create
    with recorder.track(user_id="u_1", operation="summary_generation") as call:
        call.response = create(model="gpt-4.1", messages=ASK)
    assert call.outcome.status == "recorded"
    with recorder.track(user_id="u_2"):
        create(model="gpt-4.1", messages=ASK)
    with recorder.track(user_id="u_3") as call:
        call.response = create(model="gpt-4.1", messages=ASK).model_dump()
    assert [(row["user_id"], row["operation"]) for row in stored()] == [
        ("u_1", "summary_generation"),
        ("u_2", "chat"),
        ("u_3", "chat"),
    ]


def test_a_block_around_a_wrapped_stream_is_one_row(clients, provider, recorder, stored):
    provider.prepare(ANSWERS["openai_chat: streamed with usage"], ANSWERS["gemini: streamed"])
    with recorder.track(user_id="u_1") as call:
        call.response = clients["openai"].chat.completions.create(model="m", messages=ASK, stream=True)
    list(call.response)
    with recorder.track(user_id="u_2") as call:
        call.response = clients["genai"].models.generate_content_stream(model="gemini-2.5-flash", contents="Hi")
    list(call.response)
    assert [(row["user_id"], row["input_tokens"]) for row in stored()] == [("u_1", 9), ("u_2", 7)]


def test_a_block_around_a_wrapped_error_is_one_row(clients, provider, recorder, stored):
    provider.prepare(ANSWERS["openai_chat: error"], status=429)
    with pytest.raises(openai.RateLimitError), recorder.track(user_id="u_1"):
        clients["openai"].chat.completions.create(model="gpt-4o", messages=ASK)
    assert [(row["user_id"], row["success"]) for row in stored()] == [("u_1", False)]
