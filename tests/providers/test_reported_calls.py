"""Calls of public reports through the real libraries: each is one row with the counts of the case's file."""

from __future__ import annotations

import asyncio
import json
import time
from pathlib import Path

import google.oauth2.credentials
import openai
import pytest
from google import genai
from google.genai import types as gemini
from langchain_core.caches import InMemoryCache
from langchain_core.globals import set_llm_cache
from support import eventually
from test_one_row_per_call import clients, config, gpt, models  # noqa: F401  fixtures

pytestmark = [
    pytest.mark.filterwarnings(f"ignore::{kind}") for kind in ("DeprecationWarning", "ResourceWarning", "UserWarning")
]
CASES = Path(__file__).parent.parent / "cases" / "otlp"
ASK = [{"role": "user", "content": "Hi"}]
GPT = "gpt-5-mini"
COLUMNS = {
    "input": "input_tokens",
    "output": "output_tokens",
    "cache_read": "cache_read_input_tokens",
    "cache_write": "cache_write_input_tokens",
    "reasoning": "reasoning_output_tokens",
}


def case(name):
    return json.loads((CASES / f"{name}.json").read_text(encoding="utf-8"))


def counts(entry):
    """The expected counts of a case's entry, in the order of the columns."""
    return tuple(entry["expected"][name] for name in COLUMNS)


def stored_counts(stored, count):
    """The rows' counts once there are so many, and a short time later still."""
    eventually(lambda: len(stored()) >= count)
    time.sleep(0.1)
    rows = stored()
    assert all("usage_problem" not in row["metadata"] for row in rows)
    return [tuple(row[name] for name in COLUMNS.values()) for row in rows]


def chat(entry, number):
    """OpenAI's answer with the entry's usage: a body, or the events of a stream."""
    head = {"id": f"chatcmpl-{number:06d}", "created": 1, "model": entry["model"]}
    usage = entry.get("raw") or chat_usage(entry)
    if not entry.get("stream"):
        choice = {"index": 0, "message": {"role": "assistant", "content": "Hello"}, "finish_reason": "stop"}
        return {**head, "object": "chat.completion", "choices": [choice], "usage": usage}
    chunk = {**head, "object": "chat.completion.chunk"}
    delta = {"index": 0, "delta": {"role": "assistant", "content": "Hello"}, "finish_reason": "stop"}
    return [{**chunk, "choices": [delta], "usage": None}, {**chunk, "choices": [], "usage": usage}]


def chat_usage(entry):
    read, reasoning = entry["expected"]["cache_read"], entry["expected"]["reasoning"]
    sent, made = entry["expected"]["input"], entry["expected"]["output"]
    return {
        "prompt_tokens": sent,
        "completion_tokens": made,
        "total_tokens": sent + made,
        "prompt_tokens_details": {"cached_tokens": read},
        "completion_tokens_details": {"reasoning_tokens": reasoning},
    }


def generated(usage, number, model="gemini-2.5-flash"):
    """Gemini's answer."""
    candidate = {"content": {"parts": [{"text": "Hello"}], "role": "model"}, "finishReason": "STOP", "index": 0}
    return {"candidates": [candidate], "modelVersion": model, "responseId": f"g{number:06d}", "usageMetadata": usage}


def test_langchain_over_a_wrapped_client(clients, config, provider, stored):  # noqa: F811
    whole, streamed = case("04-langchain-handler-over-wrapped-client-twice")["expected"]
    provider.prepare(chat(whole, 324), chat(streamed, 325))
    model = gpt(clients, stream_usage=True)
    model.invoke("Hi", config=config)
    assert list(model.stream("Hi", config=config))
    assert stored_counts(stored, 2) == [counts(whole), counts(streamed)]
    assert {(row["user_id"], row["session_id"], row["operation"]) for row in stored()} == {("u_lc", "s_lc", "my_op")}


def test_langchain_over_wrapped_gemini_and_anthropic_clients(models, config, provider, stored):  # noqa: F811
    # The file lists each row twice, as the client and as the handler stored it; the last one is a stream without usage.
    rows = case("04-langchain-handler-over-wrapped-gemini-and-anthropic-twice")["rows"]
    expected = [tuple(row[name] for name in COLUMNS.values()) for row in (rows[0], rows[2], rows[4])]
    usages = [
        {
            "promptTokenCount": sent,
            "candidatesTokenCount": made - reasoning,
            "thoughtsTokenCount": reasoning,
            "cachedContentTokenCount": read,
            "totalTokenCount": sent + made,
        }
        for sent, made, read, _, reasoning in expected[:2]
    ]
    sent, made, read, write, _ = expected[2]
    usage = {"input_tokens": sent - read - write, "output_tokens": made}
    message = {
        "id": "msg_000356",
        "type": "message",
        "role": "assistant",
        "model": rows[4]["model"],
        "content": [{"type": "text", "text": "Hello"}],
        "stop_reason": "end_turn",
        "stop_sequence": None,
        "usage": {**usage, "cache_read_input_tokens": read, "cache_creation_input_tokens": write},
    }
    provider.prepare(generated(usages[0], 361), [generated(usages[1], 362)], message)
    models["google"].invoke("Hi", config=config)
    assert list(models["google"].stream("Hi", config=config))
    models["anthropic"].invoke("Hi", config=config)
    assert stored_counts(stored, 3) == expected


def test_a_block_with_langchains_answer_over_a_wrapped_client(clients, provider, recorder, stored):  # noqa: F811
    (entry,) = case("04-track-block-with-langchain-answer-over-wrapped-client-twice")["expected"]
    provider.prepare(chat({**entry, "model": f"{GPT}-2025-08-07"}, 360))
    with recorder.track(operation="blk", user_id="u_b") as block:
        block.response = gpt(clients).invoke("Hi")
    assert stored_counts(stored, 1) == [counts(entry)]
    assert (stored()[0]["operation"], stored()[0]["user_id"]) == ("blk", "u_b")


def test_a_raw_stream(clients, provider, stored):  # noqa: F811
    (entry,) = case("11-raw-response-streams")["expected"]
    provider.prepare(chat(entry, 223))
    raw = clients[0].chat.completions.with_raw_response.create(
        model=GPT, messages=ASK, stream=True, stream_options={"include_usage": True}
    )
    assert len(list(raw.parse())) == 2
    assert stored_counts(stored, 1) == [counts(entry)]


def test_interactions(provider, recorder, stored):
    (entry,) = case("15-gemini-interactions-and-vertex-embeddings")["interactions_expected"]
    provider.prepare(
        {
            "id": "int_1",
            "object": "interaction",
            "model": entry["model"],
            "status": "completed",
            "created": "2026-01-01T00:00:00Z",
            "updated": "2026-01-01T00:00:01Z",
            "steps": [{"type": "model_output", "content": [{"type": "text", "text": "Hello"}]}],
            "usage": entry["raw"],
        }
    )
    client = genai.Client(api_key="k", http_options=gemini.HttpOptions(base_url=provider.url))
    recorder.wrap(client).interactions.create(model=entry["model"], input="Hi")
    client.close()
    assert stored_counts(stored, 1) == [counts(entry)]
    assert (stored()[0]["model"], stored()[0]["provider"]) == (entry["model"], "google")


def test_vertex_ai(provider, recorder, stored):
    answer, embedding = case("15-gemini-interactions-and-vertex-embeddings")["vertex"]["expected"]
    first = embedding["expected"]["input"] // 2
    statistics = [{"token_count": count} for count in (first, embedding["expected"]["input"] - first)]
    predictions = [{"embeddings": {"values": [0.1], "statistics": one}} for one in statistics]
    provider.prepare(generated(answer["raw"], 1), {"predictions": predictions})
    client = genai.Client(
        vertexai=True,
        project="p",
        location="us-central1",
        credentials=google.oauth2.credentials.Credentials(token="t"),
        http_options=gemini.HttpOptions(base_url=provider.url),
    )
    wrapped = recorder.wrap(client)
    wrapped.models.generate_content(model=answer["model"], contents="Hi")
    wrapped.models.embed_content(model=embedding["model"], contents=["a", "b"])
    client.close()
    assert stored_counts(stored, 2) == [counts(answer), counts(embedding)]
    assert [(row["model"], row["operation"]) for row in stored()] == [
        (answer["model"], "chat"),
        (embedding["model"], "embeddings"),
    ]


def test_a_background_response(provider, recorder, stored):
    (entry,) = case("16-openai-background")["expected"]
    head = {"id": "resp_000239", "object": "response", "created_at": 1, "model": entry["model"], "background": True}
    head |= {"output": [], "parallel_tool_calls": True, "tool_choice": "auto", "tools": [], "error": None}
    done = {**head, "status": "completed", "usage": entry["raw"]}
    provider.prepare({**head, "status": "queued", "usage": None}, {**head, "status": "in_progress", "usage": None})
    provider.prepare(done, done)
    with openai.OpenAI(api_key="k", base_url=provider.url + "/v1", max_retries=0) as client:
        wrapped = recorder.wrap(client, user_id="u_w")
        created = wrapped.responses.create(model=GPT, input="Hi", background=True)
        wrapped.responses.retrieve(created.id)
        assert stored() == []
        for _ in range(2):
            wrapped.responses.retrieve(created.id)
    assert stored_counts(stored, 1) == [counts(entry)]
    assert stored()[0]["user_id"] == "u_w"


# --- answers from a cache -----------------------------------------------------------------------------------------


@pytest.fixture
def litellm(recorder, monkeypatch):
    """LiteLLM with its own cache and our callback."""
    import litellm
    from litellm.caching.caching import Cache

    from tracker.sources.litellm import TokenTracker

    monkeypatch.setattr(litellm, "cache", Cache(type="local"))
    monkeypatch.setattr(litellm, "callbacks", [TokenTracker(recorder)])
    for name in ("success_callback", "failure_callback", "_async_success_callback", "_async_failure_callback"):
        monkeypatch.setattr(litellm, name, [])
    yield litellm
    litellm.in_memory_llm_clients_cache.flush_cache()


@pytest.mark.parametrize("streamed", [False, True])
def test_litellms_cache_hits_are_no_rows(litellm, provider, stored, streamed):

    def ask(text):
        options = {"api_base": provider.url + "/v1", "api_key": "k", "caching": True, "stream": streamed}
        options |= {"stream_options": {"include_usage": True}} if streamed else {}
        answer = litellm.completion(model=f"openai/{GPT}", messages=[{"role": "user", "content": text}], **options)
        return list(answer) if streamed else answer

    for _ in range(3):
        assert ask("Hi")
        time.sleep(0.3)  # LiteLLM stores a stream's answer in a thread of its own
    assert ask("Another question")
    assert len(provider.served) == 2
    assert len(stored_counts(stored, 2)) == 2


def test_litellms_cached_embeddings_are_no_rows(litellm, provider, stored):
    async def main():
        for text in ("a", "a", "a", "b"):
            await litellm.aembedding(
                model="openai/text-embedding-3-small",
                input=[text],
                api_base=provider.url + "/v1",
                api_key="k",
                caching=True,
            )
            await asyncio.sleep(0.3)

    asyncio.run(main())
    assert len(provider.served) == 2
    assert len(stored_counts(stored, 2)) == 2


@pytest.mark.parametrize("streamed", [False, True])
def test_langchains_cache_hits_are_no_rows(clients, config, provider, stored, streamed):  # noqa: F811
    set_llm_cache(InMemoryCache())
    try:
        model = gpt(clients, stream_usage=True)
        for _ in range(3):
            assert list(model.stream("Hi", config=config)) if streamed else model.invoke("Hi", config=config)
    finally:
        set_llm_cache(None)
    # LangChain answers streams from its cache only in versions that look there for them.
    assert len(stored_counts(stored, len(provider.served))) == len(provider.served)
    assert len(provider.served) in ({1, 3} if streamed else {1})
