"""A call recorded from its answer: handed over, timed in a block, streamed, or failed."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from types import SimpleNamespace

import pytest
from support import rows

from tracker import TokenUsage, UsageError, UsageTypeError

CHAT = {
    "id": "chatcmpl-1",
    "model": "gpt-4.1-2025-04-14",
    "usage": {"prompt_tokens": 19, "completion_tokens": 10, "total_tokens": 29},
}
STREAM = [
    {"modelVersion": "gemini-2.5-flash", "usageMetadata": {"promptTokenCount": 7, "totalTokenCount": 7}},
    {
        "modelVersion": "gemini-2.5-flash",
        "usageMetadata": {"promptTokenCount": 7, "candidatesTokenCount": 4, "totalTokenCount": 11},
    },
]
COLUMNS = "model, provider, operation, user_id, input_tokens, output_tokens, success, error_message"


def one(url):
    (row,) = rows(url, f"SELECT {COLUMNS} FROM token_usage")
    return row


def metadata(url):
    ((found,),) = rows(url, "SELECT metadata FROM token_usage")
    return found


# --- record_response ----------------------------------------------------------------------------------------------


def test_an_answer_is_recorded_in_one_line(recorder, database_url):
    outcome = recorder.record_response(CHAT, operation="tag_generation", user_id="u_42")
    assert (outcome.status, outcome.error) == ("recorded", None)
    assert one(database_url) == ("gpt-4.1-2025-04-14", "openai", "tag_generation", "u_42", 19, 10, True, None)
    assert metadata(database_url) == {"response_id": "chatcmpl-1"}


def test_the_model_that_answered_counts_and_the_one_asked_for_is_kept(recorder, database_url):
    recorder.record_response(CHAT, model="gpt-4.1")
    assert one(database_url)[0] == "gpt-4.1-2025-04-14"
    assert metadata(database_url)["request_model"] == "gpt-4.1"


def test_the_pieces_of_a_stream_are_one_call(recorder, database_url):
    recorder.record_response(STREAM)
    assert one(database_url)[4:6] == (7, 4)


def test_an_unknown_response_is_recorded_with_an_error(recorder, database_url):
    outcome = recorder.record_response({"choices": []}, operation="chat")
    assert outcome.status == "recorded"
    assert "0 tokens" in outcome.error
    assert one(database_url)[:6] == ("unknown", None, "chat", "anonymous", 0, 0)
    assert metadata(database_url)["usage_problem"] == "usage_missing"


def test_an_error_is_recorded_by_its_type(recorder, database_url):
    outcome = recorder.record_response(TimeoutError("no answer in 60 s"), model="gpt-4.1")
    assert outcome.status == "recorded"
    assert one(database_url)[6:] == (False, "TimeoutError: no answer in 60 s")


def test_no_secret_in_an_errors_text_is_stored(recorder, database_url, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-very-secret-value")
    recorder.record_response(PermissionError("Incorrect API key provided: sk-very-secret-value"))
    assert one(database_url)[7] == "PermissionError: Incorrect API key provided: ***"


def test_a_token_usage_is_taken_as_it_is(recorder, database_url):
    recorder.record_response(TokenUsage(model="own", input_tokens=3), operation="x")
    assert one(database_url)[:6] == ("own", None, "x", "anonymous", 3, 0)


def test_none_is_as_good_as_not_given(recorder, database_url):
    recorder.record_response(CHAT, user_id=None, session_id=None)
    assert one(database_url)[3] == "anonymous"


def test_an_unread_stream_is_not_read_and_recorded_with_an_error(recorder, database_url):
    stream = iter(STREAM)
    assert "stream" in recorder.record_response(stream).error
    assert len(list(stream)) == 2


@pytest.mark.parametrize(
    ("fields", "error"),
    [({"usr_id": "x"}, UsageTypeError), ({"user_id": 42}, UsageTypeError), ({"operation": " "}, UsageError)],
)
def test_an_invalid_field_raises_to_the_caller(recorder, database_url, fields, error):
    with pytest.raises(error):
        recorder.record_response(CHAT, **fields)
    with pytest.raises(error):
        recorder.track(**fields)
    assert rows(database_url, "SELECT 1 FROM token_usage") == []


def test_a_database_that_does_not_answer_is_an_outcome(new_tracker):
    broken = new_tracker(database_url="postgresql://u@127.0.0.1:1/db", max_retries=0)
    assert not broken.record_response(CHAT).stored
    with broken.track() as call:
        call.response = CHAT
    assert call.outcome.error
    assert not call.outcome.stored


def test_arecord_response_does_the_same(recorder, database_url):
    assert asyncio.run(recorder.arecord_response(CHAT, user_id="u")).status == "recorded"
    assert one(database_url)[3] == "u"


# --- track --------------------------------------------------------------------------------------------------------


def test_a_block_times_its_call(recorder, database_url):
    before = datetime.now(UTC)
    with recorder.track(operation="chat", user_id="u") as call:
        call.response = CHAT
    assert call.outcome.status == "recorded"
    ((ms, created),) = rows(database_url, "SELECT processing_time, created_at FROM token_usage")
    assert 0 <= ms < 5000
    assert created >= before


def test_an_exception_of_a_block_propagates_and_is_recorded(recorder, database_url):
    error = RuntimeError("boom")
    with pytest.raises(RuntimeError) as caught, recorder.track(model="gpt-4.1", operation="chat"):
        raise error
    assert caught.value is error
    assert one(database_url)[6:] == (False, "RuntimeError: boom")


def test_a_failure_after_the_response_keeps_the_tokens(recorder, database_url):
    with pytest.raises(KeyError), recorder.track() as call:
        call.response = CHAT
        raise KeyError("x")
    assert one(database_url)[4:7] == (19, 10, False)


def test_a_block_without_a_response_is_recorded_with_an_error(recorder, database_url):
    with recorder.track(model="gpt-4.1") as call:
        pass
    assert "call.response" in call.outcome.error
    assert one(database_url)[0] == "gpt-4.1"


def test_a_stream_read_in_the_block_is_one_row(recorder, database_url):
    with recorder.track(user_id="u") as call:
        call.response = (piece for piece in STREAM)
        assert list(call.response) == STREAM
    assert one(database_url)[3:7] == ("u", 7, 4, True)


def test_a_stream_read_after_the_block_is_recorded_at_its_end(recorder, database_url):
    with recorder.track() as call:
        call.response = iter(STREAM)
    assert rows(database_url, "SELECT 1 FROM token_usage") == []
    assert list(call.response) == STREAM
    assert one(database_url)[4:7] == (7, 4, True)


def test_a_stream_broken_off_is_recorded_with_what_is_known_and_marked(recorder, database_url):
    with recorder.track() as call:
        call.response = iter(STREAM)
        for _ in call.response:
            break
    stream = call.response
    stream.close()
    row = one(database_url)
    assert row[4:7] == (7, 0, False)
    assert "broken off" in row[7]
    assert metadata(database_url)["stream"] == "broken_off"


def test_an_error_in_a_stream_propagates_and_is_recorded(recorder, database_url):
    error = ConnectionError("cut")

    def breaking():
        yield STREAM[0]
        raise error

    with pytest.raises(ConnectionError) as caught, recorder.track() as call:
        call.response = breaking()
        list(call.response)
    assert caught.value is error
    assert one(database_url)[4:] == (7, 0, False, "ConnectionError: cut")


def test_an_asynchronous_block_and_stream(recorder, database_url):
    async def pieces():
        for piece in STREAM:
            yield piece

    async def main():
        async with recorder.track(user_id="a") as call:
            call.response = pieces()
            return [piece async for piece in call.response]

    assert asyncio.run(main()) == STREAM
    assert one(database_url)[3:7] == ("a", 7, 4, True)


def test_a_cancelled_stream_is_recorded(recorder, database_url):
    async def pieces():
        yield STREAM[0]
        await asyncio.sleep(60)

    async def main():
        async def read():
            with recorder.track() as call:
                call.response = pieces()
                async for _ in call.response:
                    pass

        task = asyncio.create_task(read())
        await asyncio.sleep(0.05)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())
    assert one(database_url)[4:] == (7, 0, False, "CancelledError")


def test_a_block_accepts_a_token_usage(recorder, database_url):
    with recorder.track(operation="x") as call:
        call.response = TokenUsage(model="own", output_tokens=5)
    assert one(database_url)[:6] == ("own", None, "x", "anonymous", 0, 5)


def test_two_answers_without_an_id_are_two_rows(recorder, database_url):
    answer = SimpleNamespace(model="gpt-4.1", usage=SimpleNamespace(prompt_tokens=1, completion_tokens=1))
    assert [recorder.record_response(answer).status for _ in range(2)] == ["recorded", "recorded"]
