"""The first chunk with output: formats of providers and frameworks, and the time measured on wrapped streams."""

from __future__ import annotations

import json
import time
from pathlib import Path

import openai
import pytest

from tracker.recording.capture.first_content import has_content

RESPONSES = Path(__file__).parent / "responses"
ANSWERS = {
    f"{path.stem}: {case['name']}": case.get("answer") or case.get("stream")
    for path in RESPONSES.glob("*.json")
    for case in json.loads(path.read_text(encoding="utf-8"))
}
WITH_CONTENT = [
    {"choices": [{"delta": {"content": "Hi"}}]},
    {"choices": [{"delta": {"reasoning_content": "Let"}}]},
    {"choices": [{"delta": {"tool_calls": [{"index": 0, "function": {"name": "f", "arguments": ""}}]}}]},
    {"choices": [{"text": "Hi"}]},
    {"type": "response.output_text.delta", "delta": "Hi"},
    {"type": "response.function_call_arguments.delta", "delta": "{"},
    {"type": "response.image_generation_call.partial_image", "partial_image_b64": "AA"},
    {"type": "content_block_delta", "delta": {"type": "text_delta", "text": "Hi"}},
    {"type": "content_block_delta", "delta": {"type": "thinking_delta", "thinking": "So"}},
    {"candidates": [{"content": {"parts": [{"text": "Hi"}]}}]},
    {"candidates": [{"content": {"parts": [{"functionCall": {"name": "f"}}]}}]},
    {"contentBlockDelta": {"delta": {"text": "Hi"}}},
    {"type": "content-delta", "delta": {"message": {"content": {"text": "Hi"}}}},
    {"event_type": "content.delta", "delta": {"type": "text", "text": "Hi"}},
    {"message": {"role": "assistant", "content": "Hi"}},
    {"model": "llama", "response": "Hi"},
    {"data": {"choices": [{"delta": {"content": "Hi"}}]}},
    {"type": "AIMessageChunk", "content": "Hi"},
]
WITHOUT_CONTENT = [
    {"choices": [{"delta": {"role": "assistant", "content": ""}}]},
    {"choices": [{"delta": {}, "finish_reason": "stop"}]},
    {"choices": [], "usage": {"prompt_tokens": 1}},
    {"type": "response.created", "response": {"id": "resp_1"}},
    {"type": "response.output_text.delta", "delta": ""},
    {"type": "message_start", "message": {"content": [], "usage": {"input_tokens": 3}}},
    {"type": "content_block_start", "content_block": {"type": "text", "text": ""}},
    {"type": "message_delta", "delta": {"stop_reason": "end_turn"}},
    {"type": "ping"},
    {"candidates": [{"finishReason": "STOP"}]},
    {"usageMetadata": {"promptTokenCount": 1}},
    {"messageStart": {"role": "assistant"}},
    {"metadata": {"usage": {"inputTokens": 1}}},
    {"type": "message-start", "delta": {"message": {"role": "assistant"}}},
    {"message": {"role": "assistant", "content": ""}, "done": True},
    {"type": "AIMessageChunk", "content": ""},
    None,
]


@pytest.mark.parametrize("chunk", WITH_CONTENT, ids=json.dumps)
def test_chunks_with_content(chunk: object) -> None:
    assert has_content(chunk)


@pytest.mark.parametrize("chunk", WITHOUT_CONTENT, ids=json.dumps)
def test_chunks_without_content(chunk: object) -> None:
    assert not has_content(chunk)


def test_a_wrapped_stream_and_a_track_block_measure_the_first_content(provider, recorder, stored) -> None:
    request = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "Hi"}]}
    streamed = ANSWERS["openai_chat: streamed with usage"]
    provider.prepare(streamed, ANSWERS["openai_chat: text"], streamed)
    plain = openai.OpenAI(api_key="k", base_url=provider.url + "/v1", max_retries=0)
    wrapped = recorder.wrap(openai.OpenAI(api_key="k", base_url=provider.url + "/v1", max_retries=0))
    for _ in wrapped.chat.completions.create(**request, stream=True):
        time.sleep(0.05)  # a slow reader: the call lasts longer than the first content takes
    wrapped.chat.completions.create(**request)
    with recorder.track(user_id="u") as call:
        time.sleep(0.1)
        call.response = plain.chat.completions.create(**request, stream=True)
        list(call.response)
    first, whole, tracked = stored()
    assert 0 <= first["time_to_first_token_ms"] <= first["processing_time"] - 100
    assert whole["time_to_first_token_ms"] is None
    assert 100 <= tracked["time_to_first_token_ms"] <= tracked["processing_time"]
    plain.close()
    wrapped.close()
