"""The endpoints of Gemini and Vertex AI in the local API server: contents, embeddings, interactions and batches."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from endpoint_support import CACHED, CACHED_AND_REASONING, REASONING, Served, error_body
from openai_endpoints import retrieve_batch

if TYPE_CHECKING:
    from api_server import ApiServer


def _gemini_usage(served: Served) -> dict[str, Any]:
    return {
        "promptTokenCount": served.input_tokens,
        "candidatesTokenCount": served.output_tokens - REASONING,
        "thoughtsTokenCount": REASONING,
        "cachedContentTokenCount": CACHED,
        "totalTokenCount": served.input_tokens + served.output_tokens,
    }


def _gemini_candidate(text: str, *, last: bool) -> dict[str, Any]:
    finish = {"finishReason": "STOP"} if last else {}
    return {"content": {"parts": [{"text": text}], "role": "model"}, "index": 0, **finish}


def generate(server: ApiServer, _: dict[str, Any], path: str, __: dict[str, str]) -> tuple[int, Any]:
    model = path.rpartition("/")[2]
    served = server.serve_answer("gemini.generate", model, False, "gem", **CACHED_AND_REASONING)
    head = {"modelVersion": model, "responseId": served.id, "usageMetadata": _gemini_usage(served)}
    return 200, {"candidates": [_gemini_candidate("Hello", last=True)], **head}


def generate_stream(server: ApiServer, _: dict[str, Any], path: str, __: dict[str, str]) -> tuple[int, Any]:
    model = path.rpartition("/")[2]
    served = server.serve_answer("gemini.generate", model, True, "gem", **CACHED_AND_REASONING)
    head = {"modelVersion": model, "responseId": served.id}
    first = {"promptTokenCount": served.input_tokens, "totalTokenCount": served.input_tokens}
    return 200, [
        {"candidates": [_gemini_candidate("Hel", last=False)], **head, "usageMetadata": first},
        {"candidates": [_gemini_candidate("lo", last=True)], **head, "usageMetadata": _gemini_usage(served)},
    ]


def embed_content(server: ApiServer, body: dict[str, Any], path: str, __: dict[str, str]) -> tuple[int, Any]:
    served = server.serve_answer("gemini.embed", path.rpartition("/")[2], False, "", output_tokens=0)
    values = [{"values": [0.1, 0.2]} for _ in body.get("requests", [1])]
    usage = {"promptTokenCount": served.input_tokens}
    return 200, {"embeddings": values, "embedding": values[0], "usageMetadata": usage}


def vertex_predict(server: ApiServer, body: dict[str, Any], path: str, __: dict[str, str]) -> tuple[int, Any]:
    """Vertex AI states the tokens of each embedding in its statistics."""
    instances = body.get("instances", [{}])
    served = server.serve_answer("vertex.embed", path.rpartition("/")[2], False, "", output_tokens=0)
    counts = [served.input_tokens - 10 * (len(instances) - 1)] + [10] * (len(instances) - 1)
    predictions = [
        {"embeddings": {"values": [0.1], "statistics": {"token_count": count, "truncated": False}}} for count in counts
    ]
    return 200, {"predictions": predictions}


def interactions(server: ApiServer, body: dict[str, Any], _: str, __: dict[str, str]) -> tuple[int, Any]:
    model, stream, background = str(body.get("model")), bool(body.get("stream")), bool(body.get("background"))
    served = server.serve_answer("gemini.interactions", model, stream, "int_", **CACHED_AND_REASONING)
    done = {
        "id": served.id,
        "object": "interaction",
        "model": model,
        "status": server.final_status,
        "created": "2026-01-01T00:00:00Z",
        "updated": "2026-01-01T00:00:01Z",
        "steps": [{"type": "model_output", "content": [{"type": "text", "text": "Hello"}]}],
        "usage": {
            "total_input_tokens": served.input_tokens,
            "total_output_tokens": served.output_tokens - REASONING,
            "total_thought_tokens": REASONING,
            "total_cached_tokens": CACHED,
            "total_tool_use_tokens": 0,
            "total_tokens": served.input_tokens + served.output_tokens,
        },
    }
    server.stored[served.id] = {"done": done, "polls": 0, "background": background}
    if stream:
        return 200, _interaction_events(done)
    return 200, _unfinished_interaction(done) if background else done


def _unfinished_interaction(done: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in done.items() if name not in {"steps", "usage"}} | {"status": "in_progress"}


def _interaction_events(done: dict[str, Any]) -> list[dict[str, Any]]:
    delta = {"event_type": "step.delta", "index": 0}
    events: list[dict[str, Any]] = [
        {"event_type": "interaction.created", "interaction": _unfinished_interaction(done)},
        {"event_type": "step.start", "index": 0, "step": {"type": "model_output"}},
        {**delta, "delta": {"type": "text", "text": "Hel"}},
        {**delta, "delta": {"type": "text", "text": "lo"}},
        {"event_type": "step.stop", "index": 0},
        {"event_type": "interaction.completed", "interaction": done},
    ]
    return [{**event, "event_id": f"e{number}"} for number, event in enumerate(events)]


def retrieve_interaction(server: ApiServer, _: dict[str, Any], key: str, query: dict[str, str]) -> tuple[int, Any]:
    if (stored := server.stored.get(key)) is None:
        return 404, error_body(404)
    if query.get("stream") == "true":
        return 200, _interaction_events(stored["done"])
    stored["polls"] += 1
    finished = not stored["background"] or stored["polls"] > server.polls_until_done
    return 200, stored["done"] if finished else _unfinished_interaction(stored["done"])


def create_gemini_batch(server: ApiServer, body: dict[str, Any], path: str, __: dict[str, str]) -> tuple[int, Any]:
    key = f"gembatch{len(server.stored) + 1}"
    model = path.rpartition("/")[2]
    inlined = []
    for _ in range(2):
        served = server.serve_answer("gemini.batch", model, False, "gem", **CACHED_AND_REASONING)
        head = {"modelVersion": model, "responseId": served.id, "usageMetadata": _gemini_usage(served)}
        inlined.append({"response": {"candidates": [_gemini_candidate("Hello", last=True)], **head}})
    server.stored[key] = {"model": model, "inlined": inlined, "polls": 0}
    return 200, _gemini_batch(server, key, done=False)


def _gemini_batch(server: ApiServer, key: str, *, done: bool) -> dict[str, Any]:
    stored = server.stored[key]
    state = "BATCH_STATE_SUCCEEDED" if done else "BATCH_STATE_RUNNING"
    output = {"output": {"inlinedResponses": {"inlinedResponses": stored["inlined"]}}} if done else {}
    stats = {"requestCount": "2", "successfulRequestCount": "2"} if done else {"requestCount": "2"}
    metadata = {
        "name": f"batches/{key}",
        "displayName": "b",
        "model": f"models/{stored['model']}",
        "state": state,
        "batchStats": stats,
        **output,
    }
    return {"name": f"batches/{key}", "metadata": metadata, "done": done}


def retrieve_gemini_batch(server: ApiServer, body: dict[str, Any], key: str, query: dict[str, str]) -> tuple[int, Any]:
    stored = server.stored[key]
    if "batch" in stored:
        return retrieve_batch(server, body, key, query)
    stored["polls"] += 1
    return 200, _gemini_batch(server, key, done=stored["polls"] > server.polls_until_done)
