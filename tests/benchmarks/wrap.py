"""What `recorder.wrap` adds to a call, its row's way to the database left out: medians of interleaved runs.

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
PIECES = 200
_ASK: list[Any] = [{"role": "user", "content": "Hi"}]
_ANSWER = {
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
_PIECE = (
    b'data: {"id":"c","object":"chat.completion.chunk","created":1,"model":"gpt-4.1",'
    b'"choices":[{"index":0,"delta":{"content":"x"},"finish_reason":null}],"usage":null}\n\n'
)


class _Unwritten(Tracker):
    """Everything but the writing."""

    def record(self, usage: TokenUsage, deadline_s: float | None = None) -> Outcome:
        return Outcome("recorded", usage.id)


def _answer(request: httpx2.Request) -> httpx2.Response:
    if b'"stream":true' in request.content:
        return httpx2.Response(
            200, headers={"content-type": "text/event-stream"}, content=_PIECE * PIECES + b"data: [DONE]\n\n"
        )
    return httpx2.Response(200, json=_ANSWER)


def _client() -> openai.OpenAI:
    return openai.OpenAI(
        api_key="k", base_url="http://127.0.0.1/v1", http_client=httpx2.Client(transport=httpx2.MockTransport(_answer))
    )


def _seconds(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def compare(name: str, plain: Callable[[], object], wrapped: Callable[[], object], runs: int, per: int = 1) -> None:
    """Print both medians and the median of what was added, in µs."""
    for work in (plain, wrapped) * 5:
        work()
    pairs = []
    gc.disable()
    for number in range(runs):
        first, second = (plain, wrapped) if number % 2 else (wrapped, plain)
        one, other = _seconds(first), _seconds(second)
        pairs.append((one, other) if number % 2 else (other, one))
    gc.enable()
    bare, full = (statistics.median(column) * 1e6 for column in zip(*pairs, strict=True))
    added = statistics.median(b - a for a, b in pairs) * 1e6
    print(f"{name}: plain {bare:,.0f} µs, wrapped {full:,.0f} µs, added {added:,.1f} µs ({added / per:.2f} µs each)")


def main() -> None:
    plain, wrapped = _client(), _Unwritten(database_url="postgresql://u@127.0.0.1/db").wrap(_client())

    def whole(client: openai.OpenAI) -> Callable[[], object]:
        return lambda: client.chat.completions.create(model="gpt-4.1", messages=_ASK)

    def streamed(client: openai.OpenAI) -> Callable[[], object]:
        return lambda: list(client.chat.completions.create(model="gpt-4.1", messages=_ASK, stream=True))

    compare("a whole answer", whole(plain), whole(wrapped), RUNS)
    compare(f"a stream of {PIECES} pieces", streamed(plain), streamed(wrapped), RUNS // 8, PIECES)


if __name__ == "__main__":
    main()
