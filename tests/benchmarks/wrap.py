"""Measures the overhead of `recorder.wrap` for a call, without writing the row: medians of interleaved runs.

python -m tests.benchmarks.wrap
"""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Callable
from typing import Any

import httpx2
import openai

from tracker import Outcome, TokenUsage, Tracker

RUNS = 400
CHUNKS = 200
_MESSAGES: list[Any] = [{"role": "user", "content": "Hi"}]
_RESPONSE = {
    "id": "chatcmpl-1",
    "object": "chat.completion",
    "created": 1,
    "model": "gpt-4.1-2025-04-14",
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "Hello"}, "finish_reason": "stop"}],
    "usage": {
        "prompt_tokens": 19,
        "completion_tokens": 10,
        "total_tokens": 29,
        "prompt_tokens_details": {"cached_tokens": 0, "audio_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": 0, "audio_tokens": 0},
    },
}
_CHUNK = (
    b'data: {"id":"c","object":"chat.completion.chunk","created":1,"model":"gpt-4.1",'
    b'"choices":[{"index":0,"delta":{"content":"x"},"finish_reason":null}],"usage":null}\n\n'
)


class _NonWritingTracker(Tracker):
    """A Tracker that doesn't write."""

    def record(self, usage: TokenUsage, deadline_s: float | None = None) -> Outcome:
        return Outcome("recorded", usage.id)


def _respond(request: httpx2.Request) -> httpx2.Response:
    if b'"stream":true' in request.content:
        return httpx2.Response(
            200, headers={"content-type": "text/event-stream"}, content=_CHUNK * CHUNKS + b"data: [DONE]\n\n"
        )
    return httpx2.Response(200, json=_RESPONSE)


def _client() -> openai.OpenAI:
    return openai.OpenAI(
        api_key="k", base_url="http://127.0.0.1/v1", http_client=httpx2.Client(transport=httpx2.MockTransport(_respond))
    )


def _seconds(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def compare(name: str, plain: Callable[[], object], wrapped: Callable[[], object], runs: int, per: int = 1) -> None:
    """Print both medians and the median overhead, in µs."""
    for work in (plain, wrapped) * 5:
        work()
    pairs = []
    gc.disable()
    for number in range(runs):
        first, second = (plain, wrapped) if number % 2 else (wrapped, plain)
        first_s, second_s = _seconds(first), _seconds(second)
        pairs.append((first_s, second_s) if number % 2 else (second_s, first_s))
    gc.enable()
    plain_us, wrapped_us = (statistics.median(column) * 1e6 for column in zip(*pairs, strict=True))
    added_us = statistics.median(b - a for a, b in pairs) * 1e6
    per_chunk = f"({added_us / per:.2f} µs each)"
    print(f"{name}: plain {plain_us:,.0f} µs, wrapped {wrapped_us:,.0f} µs, added {added_us:,.1f} µs {per_chunk}")


def main() -> None:
    plain, wrapped = _client(), _NonWritingTracker(database_url="postgresql://u@127.0.0.1/db").wrap(_client())

    def whole(client: openai.OpenAI) -> Callable[[], object]:
        return lambda: client.chat.completions.create(model="gpt-4.1", messages=_MESSAGES)

    def streamed(client: openai.OpenAI) -> Callable[[], object]:
        return lambda: list(client.chat.completions.create(model="gpt-4.1", messages=_MESSAGES, stream=True))

    compare("a whole response", whole(plain), whole(wrapped), RUNS)
    compare(f"a stream of {CHUNKS} chunks", streamed(plain), streamed(wrapped), RUNS // 8, CHUNKS)


if __name__ == "__main__":
    main()
