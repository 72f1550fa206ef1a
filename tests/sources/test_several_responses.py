"""What the chunks of one response, and several responses that are read together, add up to."""

from __future__ import annotations

from typing import Any

import anthropic.types
import openai.types.chat
import pytest

from tracker.sources.answers import read


def anthropic_stream(*deltas: dict[str, Any]) -> list[Any]:
    message = {"id": "msg_1", "type": "message", "role": "assistant", "model": "claude-sonnet-4-5", "content": []}
    usage = {"input_tokens": 12000, "output_tokens": 1, "cache_read_input_tokens": 500}
    started = {"type": "message_start", "message": {**message, "usage": usage}}
    return [started, *({"type": "message_delta", "delta": {}, "usage": delta} for delta in deltas)]


def chat_chunk(response_id: str, usage: dict[str, Any] | None, model: str = "gpt-4o") -> dict[str, Any]:
    return {"id": response_id, "object": "chat.completion.chunk", "model": model, "choices": [], "usage": usage}


# --- one response -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("zero", [0, 0.0])
def test_a_zero_of_a_later_chunk_does_not_replace_a_count(zero):
    delta = {"input_tokens": zero, "cache_read_input_tokens": zero, "output_tokens": 15}
    answer = read(anthropic_stream(delta))
    assert answer.counts == {
        "input_tokens": 12500,
        "output_tokens": 15,
        "cache_read_input_tokens": 500,
    }
    assert answer.problem is None


def test_a_zero_in_an_official_librarys_object_does_not_replace_a_count_either():
    event = anthropic.types.RawMessageDeltaEvent.model_validate(
        {"type": "message_delta", "delta": {}, "usage": {"input_tokens": 0, "output_tokens": 15}}
    )
    assert read([*anthropic_stream(), event]).counts["input_tokens"] == 12500


def test_a_last_chunk_of_zeros_does_not_replace_the_usage():
    counts = {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15}
    chunks = [chat_chunk("c1", counts), chat_chunk("c1", dict.fromkeys(counts, 0))]
    expected = {"input_tokens": 10, "output_tokens": 5, "total_tokens": 15}
    assert read(chunks).counts == expected
    typed = [openai.types.chat.ChatCompletionChunk.model_validate({**chunk, "created": 1}) for chunk in chunks]
    assert read(typed).counts == expected


def test_later_counts_that_are_not_zero_replace_earlier_ones():
    answer = read(anthropic_stream({"input_tokens": 300, "output_tokens": 9}, {"output_tokens": 20}))
    assert (answer.counts["input_tokens"], answer.counts["output_tokens"]) == (800, 20)
