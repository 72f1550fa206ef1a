"""Calls whose usage arrives later: raw responses, background responses, interactions, and batches."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import textwrap

import anthropic
import openai
import pytest
from google import genai
from google.genai import types as gemini
from support import eventually

from tracker.recording.capture import background_responses

pytestmark = pytest.mark.filterwarnings("ignore:Inheritance class AiohttpClientSession:DeprecationWarning")
ASK = [{"role": "user", "content": "Hi"}]
GPT, CLAUDE = "gpt-5-mini", "claude-sonnet-5-0"
STREAM = {"model": GPT, "messages": ASK, "stream": True, "stream_options": {"include_usage": True}}
COUNTS = ("input_tokens", "output_tokens", "cache_read_input_tokens", "cache_write_input_tokens")


@pytest.fixture
def gpt(provider, recorder):
    with openai.OpenAI(api_key="k", base_url=provider.url + "/v1", max_retries=0) as client:
        yield recorder.wrap(client, user_id="u_w")


@pytest.fixture
def claude(provider, recorder):
    with anthropic.Anthropic(api_key="k", base_url=provider.url, max_retries=0) as client:
        yield recorder.wrap(client)


@pytest.fixture
def google(provider, recorder):
    client = genai.Client(api_key="k", http_options=gemini.HttpOptions(base_url=provider.url))
    yield recorder.wrap(client)
    client.close()


def counts(rows):
    return [tuple(row[name] for name in COUNTS) for row in rows]


def served(provider, *numbers):
    """The counts of these answers of the server, all of them unless given."""
    answers = [provider.served[number] for number in numbers] if numbers else provider.served
    return [tuple(getattr(answer, name) for name in COUNTS) for answer in answers]


def check(stored, provider, *, success=True):
    rows = eventually(lambda: len(stored()) >= len(provider.served) and stored())
    assert counts(rows) == served(provider)
    assert [row["success"] for row in rows] == [success] * len(rows)
    return rows


# --- raw responses ------------------------------------------------------------------------------------------------


def test_streams_through_raw_responses_are_counted(gpt, claude, provider, stored):
    assert len(list(gpt.chat.completions.with_raw_response.create(**STREAM).parse())) == 4
    raw = claude.messages.with_raw_response.create(model=CLAUDE, max_tokens=9, messages=ASK, stream=True)
    assert [event.type for event in raw.parse()][-1] == "message_stop"
    events = gpt.responses.with_raw_response.create(model=GPT, input="Hi", stream=True).parse()
    assert [event.type for event in events][-1] == "response.completed"
    rows = check(stored, provider)
    assert [row["metadata"]["response_id"] for row in rows] == [answer.id for answer in provider.served]
    assert all("stream" not in row["metadata"] for row in rows)


def test_asynchronous_raw_responses_are_counted(provider, recorder, stored):
    async def main():
        async with (
            openai.AsyncOpenAI(api_key="k", base_url=provider.url + "/v1", max_retries=0) as gpt,
            anthropic.AsyncAnthropic(api_key="k", base_url=provider.url, max_retries=0) as claude,
        ):
            recorder.wrap(gpt)
            recorder.wrap(claude)
            raw = await gpt.chat.completions.with_raw_response.create(**STREAM)
            assert len([chunk async for chunk in raw.parse()]) == 4
            message = {"model": CLAUDE, "max_tokens": 9, "messages": ASK}
            raw = await claude.messages.with_raw_response.create(**message, stream=True)
            assert [event.type async for event in await raw.parse()][-1] == "message_stop"
            raw = await claude.messages.with_raw_response.create(**message)
            assert (await raw.parse()).usage.output_tokens == provider.served[-1].output_tokens
            async with gpt.responses.with_streaming_response.create(model=GPT, input="Hi", stream=True) as response:
                assert [line async for line in response.iter_lines()]

    asyncio.run(main())
    check(stored, provider)


WAYS = ("parse", "text", "read", "iter_lines", "iter_bytes", "iter_text")


@pytest.mark.parametrize(
    ("how", "stream"), [("json", False), *((how, stream) for how in WAYS for stream in (False, True))]
)
def test_a_streaming_response_is_counted_however_its_body_is_read(gpt, provider, stored, how, stream):
    request = STREAM if stream else {"model": GPT, "messages": ASK}
    with gpt.chat.completions.with_streaming_response.create(**request) as response:
        body = getattr(response, how)()
        if how.startswith("iter") or (stream and how == "parse"):
            assert list(body)
    check(stored, provider)


def test_a_body_that_is_not_read_to_its_end_is_recorded_with_the_known_counts(claude, provider, stored):
    message = {"model": CLAUDE, "max_tokens": 9, "messages": ASK, "stream": True}
    provider.pause_s = 0.05
    with claude.messages.with_streaming_response.create(**message) as response:
        next(response.iter_lines())
    (row,) = eventually(stored)
    assert (row["success"], row["metadata"]["stream"]) == (False, "broken_off")


def test_a_broken_connection_below_a_raw_response_is_recorded(gpt, provider, stored):
    provider.break_after = 2
    with pytest.raises(openai.APIConnectionError):
        list(gpt.chat.completions.with_raw_response.create(**STREAM).parse())
    (row,) = eventually(stored)
    assert row["success"] is False


# --- background responses -----------------------------------------------------------------------------------------


def test_a_background_response_is_one_row_at_its_first_final_poll(gpt, provider, stored):
    created = gpt.responses.create(model=GPT, input="Hi", background=True)
    assert stored() == []
    states = [gpt.responses.retrieve(created.id).status for _ in range(4)]
    assert states == ["in_progress", "completed", "completed", "completed"]
    (row,) = check(stored, provider)
    assert row["id"] == str(background_responses.derived_id(row["provider"], created.id))
    assert (row["user_id"], row["metadata"]["response_id"]) == ("u_w", created.id)
    assert "usage_problem" not in row["metadata"]


def test_a_block_around_the_creation_gives_the_row_its_fields(gpt, provider, recorder, stored):
    with recorder.track(user_id="u_b", operation="report"):
        created = gpt.responses.create(model=GPT, input="Hi", background=True)
    for _ in range(2):
        gpt.responses.retrieve(created.id)
    (row,) = check(stored, provider)
    assert (row["user_id"], row["operation"]) == ("u_b", "report")


def test_another_process_that_polls_writes_the_same_row(gpt, provider, database_url, stored):
    created = gpt.responses.create(model=GPT, input="Hi", background=True)
    script = """
        import sys, openai
        from tracker import Tracker
        with Tracker(mode="direct") as recorder, openai.OpenAI(api_key="k", base_url=sys.argv[1]) as client:
            recorder.wrap(client)
            for _ in range(3):
                client.responses.retrieve(sys.argv[2])
    """
    for _ in range(2):
        subprocess.run(
            [sys.executable, "-c", textwrap.dedent(script), provider.url + "/v1", created.id],
            env={**os.environ, "DATABASE_URL": database_url},
            check=True,
            timeout=60,
        )
    gpt.responses.retrieve(created.id)
    check(stored, provider)


def test_a_response_that_was_not_made_in_the_background_is_not_counted_again(gpt, provider, stored):
    created = gpt.responses.create(model=GPT, input="Hi")
    gpt.responses.retrieve(created.id)
    list(gpt.responses.retrieve(created.id, stream=True))
    gpt.responses.input_items.list(created.id)
    gpt.responses.delete(created.id)
    with pytest.raises(openai.NotFoundError):
        gpt.responses.retrieve("resp_unknown")
    check(stored, provider)


def test_background_streams_also_resumed_ones(gpt, provider, stored):
    list(gpt.responses.create(model=GPT, input="Hi", background=True, stream=True))
    check(stored, provider)
    with gpt.responses.create(model=GPT, input="Hi", background=True, stream=True) as events:
        created = next(iter(events)).response.id
    assert len(stored()) == 1
    list(gpt.responses.retrieve(created, stream=True, starting_after=1))
    rows = check(stored, provider)
    assert "stream" not in rows[1]["metadata"]


@pytest.mark.parametrize(("status", "success"), [("failed", False), ("incomplete", True), ("cancelled", False)])
def test_a_background_response_that_ends_otherwise_is_a_row(gpt, provider, stored, status, success):
    provider.final_status = status
    created = gpt.responses.create(model=GPT, input="Hi", background=True)
    for _ in range(3):
        gpt.responses.retrieve(created.id)
    (row,) = stored()
    assert row["success"] is success
    assert row["input_tokens"] == (0 if status == "cancelled" else provider.served[0].input_tokens)


def test_a_cancelled_background_response_is_a_row(gpt, provider, stored):
    created = gpt.responses.create(model=GPT, input="Hi", background=True)
    gpt.responses.cancel(created.id)
    gpt.responses.retrieve(created.id)
    (row,) = check(stored, provider, success=False)
    assert row["error_message"] == "The response was cancelled."


def test_a_response_that_is_never_retrieved_becomes_a_marked_row(gpt, provider, recorder, stored):
    created = gpt.responses.create(model=GPT, input="Hi", background=True)
    recorder.close()
    recorder.close()
    (row,) = stored()
    assert row["metadata"]["usage_problem"] == "response_never_retrieved"
    assert (row["input_tokens"], row["metadata"]["response_id"]) == (0, created.id)
    for _ in range(2):  # the counts are not lost if it is retrieved after all
        gpt.responses.retrieve(created.id)
    assert [row["input_tokens"] for row in stored()] == [0, provider.served[0].input_tokens]


def test_pending_responses_are_bounded(gpt, recorder, stored, monkeypatch):
    monkeypatch.setattr(background_responses, "MAX_PENDING", 2)
    for _ in range(4):
        gpt.responses.create(model=GPT, input="Hi", background=True)
    assert len(background_responses.pending_of(recorder)) == 2
    assert {row["metadata"]["usage_problem"] for row in stored()} == {"response_never_retrieved"}
    monkeypatch.setattr(background_responses, "MAX_PENDING_AGE_S", -1.0)
    gpt.responses.create(model=GPT, input="Hi", background=True)
    assert len(background_responses.pending_of(recorder)) == 0
    assert len(stored()) == 5


# --- interactions -------------------------------------------------------------------------------------------------


def test_interactions_are_rows_and_polls_are_none(google, provider, stored):
    google.interactions.create(model="gemini-2.5-flash", input="Hi")
    events = list(google.interactions.create(model="gemini-2.5-flash", input="Hi", stream=True))
    assert events[-1].event_type == "interaction.completed"
    created = google.interactions.create(model="gemini-2.5-flash", input="Hi", background=True)
    assert len(stored()) == 2
    for _ in range(3):
        google.interactions.get(created.id)
    plain = google.interactions.create(model="gemini-2.5-flash", input="Hi")
    google.interactions.get(plain.id)
    rows = check(stored, provider)
    assert {row["model"] for row in rows} == {"gemini-2.5-flash"}
    assert rows[2]["id"] == str(background_responses.derived_id("google", created.id))


def test_asynchronous_interactions_are_rows(google, provider, stored):
    async def main():
        await google.aio.interactions.create(model="gemini-2.5-flash", input="Hi")
        async for _ in await google.aio.interactions.create(model="gemini-2.5-flash", input="Hi", stream=True):
            pass
        await google.aio.aclose()

    asyncio.run(main())
    check(stored, provider)


def test_wrapping_a_gemini_client_does_not_import_interactions(tmp_path):
    script = """
        import sys
        from google import genai
        from tracker import Tracker
        client = Tracker(mode="direct").wrap(genai.Client(api_key="k"))
        assert "google.genai._gaos.sdk" not in sys.modules
        assert type(client.interactions).__name__ == "_LazyInteractions"
        assert callable(client.interactions.create)
        assert type(client.interactions).__name__ == "GeminiNextGenInteractions"
    """
    environment = {**os.environ, "TRACKER_OUTBOX": str(tmp_path / "o.db")}
    subprocess.run([sys.executable, "-c", textwrap.dedent(script)], check=True, timeout=60, env=environment)


# --- batches ------------------------------------------------------------------------------------------------------


def create_batch(client):
    file = client.files.create(file=b"{}", purpose="batch")
    options = {"endpoint": "/v1/chat/completions", "completion_window": "24h"}
    return client.batches.create(input_file_id=file.id, **options)


def poll(retrieve, times=4):
    for _ in range(times):
        response = retrieve()
    return response


def test_a_finished_batch_is_one_row(gpt, provider, stored):
    batch = create_batch(gpt)
    poll(lambda: gpt.batches.retrieve(batch.id))
    (row,) = stored()
    assert row["id"] == str(background_responses.derived_id(row["provider"], batch.id))
    assert row["input_tokens"] == sum(answer.input_tokens for answer in provider.served)
    assert (row["metadata"]["calls"], row["metadata"]["usage"]["service_tier"]) == (2, "batch")


@pytest.mark.parametrize("first", ["batch", "lines"])
def test_a_batch_and_its_lines_are_counted_once(gpt, provider, recorder, stored, first):
    batch = create_batch(gpt)
    if first == "batch":
        poll(lambda: gpt.batches.retrieve(batch.id))
    lines = gpt.files.content(f"file-{batch.id}").text.splitlines()
    outcomes = [recorder.record_response(json.loads(line)).status for line in lines]
    poll(lambda: gpt.batches.retrieve(batch.id))
    rows = stored()
    assert outcomes == ["duplicate" if first == "batch" else "recorded"] * 2
    assert len(rows) == (1 if first == "batch" else 2)
    assert sum(row["input_tokens"] for row in rows) == sum(answer.input_tokens for answer in provider.served)


def create_message_batch(client, count=2):
    params = {"model": CLAUDE, "max_tokens": 9, "messages": ASK}
    requests = [{"custom_id": str(number), "params": params} for number in range(count)]
    batch = client.messages.batches.create(requests=requests)
    return poll(lambda: client.messages.batches.retrieve(batch.id), 3)


def test_the_results_of_a_message_batch_are_one_row(claude, provider, recorder, stored):
    batch = create_message_batch(claude)
    assert stored() == []
    lines = list(claude.messages.batches.results(batch.id))
    assert len(list(claude.messages.batches.results(batch.id))) == 2
    assert {recorder.record_response(line).status for line in lines} == {"duplicate"}
    (row,) = stored()
    assert row["metadata"]["calls"] == 2
    assert row["input_tokens"] == sum(answer.input_tokens for answer in provider.served)
    assert row["cache_read_input_tokens"] == 800


def message_line(number, model, **usage):
    message = {"id": f"msg_{number}", "type": "message", "role": "assistant", "model": model, "content": []}
    result = {"type": "succeeded", "message": {**message, "usage": usage}}
    return {"custom_id": str(number), "result": result}


def test_a_message_batch_of_several_models_has_a_part_for_each(claude, provider, stored):
    batch = create_message_batch(claude, 4)
    lines = [
        message_line(1, "claude-haiku-4-5", input_tokens=10, output_tokens=1),
        message_line(2, "claude-opus-4-5", input_tokens=100, output_tokens=20, cache_read_input_tokens=5),
        message_line(3, "claude-haiku-4-5", input_tokens=30, output_tokens=3),
        {"custom_id": "4", "result": {"type": "expired"}},
    ]
    provider.stored[batch.id]["lines"] = "\n".join(map(json.dumps, lines)).encode()
    list(claude.messages.batches.results(batch.id))
    (row,) = stored()
    metadata = row["metadata"]
    assert (row["model"], row["input_tokens"], row["output_tokens"]) == ("claude-opus-4-5", 145, 24)
    assert (metadata["calls"], metadata["usage"]["service_tier"]) == (3, "batch")
    assert [(part["model"], part["counts"]["input_tokens"]) for part in metadata["usage"]["parts"]] == [
        ("claude-opus-4-5", 105),
        ("claude-haiku-4-5", 40),
    ]
    assert "usage_problem" not in metadata


def test_a_line_with_a_problem_marks_the_row_of_its_batch(claude, provider, stored):
    batch = create_message_batch(claude)
    lines = [
        message_line(1, CLAUDE, input_tokens=10, output_tokens=1),
        message_line(2, CLAUDE, input_tokens=-5, output_tokens=7),
    ]
    provider.stored[batch.id]["lines"] = "\n".join(map(json.dumps, lines)).encode()
    list(claude.messages.batches.results(batch.id))
    (row,) = stored()
    assert (row["input_tokens"], row["output_tokens"], row["metadata"]["calls"]) == (10, 8, 2)
    assert row["metadata"]["usage_problem"] == "count_invalid"


def test_message_batch_lines_recorded_one_by_one_are_counted_once(claude, provider, recorder, stored):
    for _ in range(2):
        batch = create_message_batch(claude)
        for line in claude.messages.batches.results(batch.id):
            assert recorder.record_response(line).status == "recorded"
    check(stored, provider)


def test_results_that_are_not_read_to_the_end_are_no_row(claude, stored):
    batch = create_message_batch(claude)
    results = claude.messages.batches.results(batch.id)
    next(iter(results))
    results.close()
    assert stored() == []
    list(claude.messages.batches.results(batch.id))
    assert len(stored()) == 1


def test_a_gemini_batch_is_one_row(google, provider, stored):
    batch = google.batches.create(model="gemini-2.5-flash", src=[{"contents": [{"parts": [{"text": "Hi"}]}]}])
    poll(lambda: google.batches.get(name=batch.name))
    (row,) = stored()
    assert (row["provider"], row["model"], row["metadata"]["calls"]) == ("google", "gemini-2.5-flash", 2)
    assert row["output_tokens"] == sum(answer.output_tokens for answer in provider.served)


def test_derived_ids_are_uuids_of_version_8():
    derived_id = background_responses.derived_id
    first, second = (
        derived_id("openai", "resp_1"),
        derived_id("openai", "resp_2"),
    )
    assert {first.version, second.version} == {8}
    assert first.variant == "specified in RFC 4122"
    assert first == derived_id("openai", "resp_1") != second != derived_id("azure", "resp_2")
