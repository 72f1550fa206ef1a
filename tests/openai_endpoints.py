"""The endpoints of OpenAI in the local API server: chat, responses, embeddings, files and batches."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

from endpoint_support import CACHED, CACHED_AND_REASONING, REASONING, Served, error_body

if TYPE_CHECKING:
    from api_server import ApiServer


def _chat_usage(served: Served) -> dict[str, Any]:
    return {
        "prompt_tokens": served.input_tokens,
        "completion_tokens": served.output_tokens,
        "total_tokens": served.input_tokens + served.output_tokens,
        "prompt_tokens_details": {"cached_tokens": CACHED, "audio_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": REASONING, "audio_tokens": 0},
    }


def chat(server: ApiServer, body: dict[str, Any], _: str, __: dict[str, str]) -> tuple[int, Any]:
    model, stream = _dated(body["model"]), bool(body.get("stream"))
    served = server.serve_answer("openai.chat", model, stream, "chatcmpl-", **CACHED_AND_REASONING)
    head = {"id": served.id, "created": int(time.time()), "model": model}
    if not stream:
        message = {"role": "assistant", "content": "Hello", "refusal": None}
        choice = {"index": 0, "message": message, "finish_reason": "stop", "logprobs": None}
        return 200, {**head, "object": "chat.completion", "choices": [choice], "usage": _chat_usage(served)}
    asked = bool((body.get("stream_options") or {}).get("include_usage"))
    chunk = {**head, "object": "chat.completion.chunk", **({"usage": None} if asked else {})}
    deltas = ({"role": "assistant", "content": "Hel"}, {"content": "lo"})
    chunks = [{**chunk, "choices": [{"index": 0, "delta": delta, "finish_reason": None}]} for delta in deltas]
    chunks.append({**chunk, "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})
    if asked:
        chunks.append({**chunk, "choices": [], "usage": _chat_usage(served)})
    return 200, chunks


def completion(server: ApiServer, body: dict[str, Any], _: str, __: dict[str, str]) -> tuple[int, Any]:
    served = server.serve_answer("openai.completions", body["model"], False, "cmpl-", **CACHED_AND_REASONING)
    choice = {"index": 0, "text": "Hello", "finish_reason": "stop", "logprobs": None}
    return 200, {
        "id": served.id,
        "object": "text_completion",
        "created": int(time.time()),
        "model": body["model"],
        "choices": [choice],
        "usage": _chat_usage(served),
    }


def _dated(model: str) -> str:
    """OpenAI answers with the model's snapshot."""
    return f"{model}-2025-08-07" if model in {"gpt-5-mini", "gpt-5"} else model


def _response_usage(served: Served) -> dict[str, Any]:
    return {
        "input_tokens": served.input_tokens,
        "input_tokens_details": {"cached_tokens": CACHED},
        "output_tokens": served.output_tokens,
        "output_tokens_details": {"reasoning_tokens": REASONING},
        "total_tokens": served.input_tokens + served.output_tokens,
    }


def responses(server: ApiServer, body: dict[str, Any], _: str, __: dict[str, str]) -> tuple[int, Any]:
    model, stream, background = _dated(body["model"]), bool(body.get("stream")), bool(body.get("background"))
    served = server.serve_answer("openai.responses", model, stream, "resp_", **CACHED_AND_REASONING)
    message = {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "status": "completed",
        "content": [{"type": "output_text", "text": "Hello", "annotations": []}],
    }
    done = {
        "id": served.id,
        "object": "response",
        "created_at": int(time.time()),
        "model": model,
        "background": background,
        "status": server.final_status,
        "output": [message],
        "usage": _response_usage(served) if server.final_status != "cancelled" else None,
        "parallel_tool_calls": True,
        "tool_choice": "auto",
        "tools": [],
        "service_tier": "default",
        "error": {"code": "server_error", "message": "failed"} if server.final_status == "failed" else None,
    }
    server.stored[served.id] = {"done": done, "polls": 0, "number": len(server.served)}
    if stream:
        return 200, _response_events(done)
    return 200, _unfinished(done) if background else done


def _unfinished(done: dict[str, Any], status: str = "queued") -> dict[str, Any]:
    return {**done, "status": status, "output": [], "usage": None, "error": None}


def _response_events(done: dict[str, Any]) -> list[dict[str, Any]]:
    begun = _unfinished(done, "in_progress")
    delta = {"type": "response.output_text.delta", "item_id": "msg_1", "output_index": 0, "content_index": 0}
    events: list[dict[str, Any]] = [
        {"type": "response.created", "response": {**begun, "status": "queued"}},
        {"type": "response.in_progress", "response": begun},
        {**delta, "delta": "Hel", "logprobs": []},
        {**delta, "delta": "lo", "logprobs": []},
        {"type": f"response.{done['status']}", "response": done},
    ]
    return [{**event, "sequence_number": number} for number, event in enumerate(events)]


def retrieve_response(server: ApiServer, _: dict[str, Any], key: str, query: dict[str, str]) -> tuple[int, Any]:
    if (stored := server.stored.get(key)) is None:
        return 404, error_body(404)
    done = stored["done"]
    if query.get("stream") == "true":
        after = int(query.get("starting_after", -1))
        return 200, [event for event in _response_events(done) if event["sequence_number"] > after]
    stored["polls"] += 1
    finished = not done["background"] or stored["polls"] > server.polls_until_done
    return 200, done if finished else _unfinished(done, "in_progress")


def cancel_response(server: ApiServer, _: dict[str, Any], key: str, __: dict[str, str]) -> tuple[int, Any]:
    stored = server.stored[key]
    stored["done"] = {**stored["done"], "status": "cancelled", "output": []}
    return 200, stored["done"]


def embeddings(server: ApiServer, body: dict[str, Any], _: str, __: dict[str, str]) -> tuple[int, Any]:
    served = server.serve_answer("openai.embeddings", body["model"], False, "", output_tokens=0)
    count = len(body["input"]) if isinstance(body["input"], list) else 1
    usage = {"prompt_tokens": served.input_tokens, "total_tokens": served.input_tokens}
    data = [{"object": "embedding", "index": index, "embedding": [0.1, 0.2]} for index in range(count)]
    return 200, {"object": "list", "data": data, "model": body["model"], "usage": usage}


def moderations(server: ApiServer, body: dict[str, Any], _: str, __: dict[str, str]) -> tuple[int, Any]:
    result: dict[str, Any] = {"flagged": False, "categories": {}, "category_scores": {}}
    return 200, {"id": "modr-1", "model": "omni-moderation-latest", "results": [result]}


def create_file(server: ApiServer, body: dict[str, Any], _: str, __: dict[str, str]) -> tuple[int, Any]:
    key = f"file-{len(server.files) + 1}"
    server.files[key] = body["raw"]
    return 200, _file(key)


def _file(key: str) -> dict[str, Any]:
    return {
        "id": key,
        "object": "file",
        "bytes": 1,
        "created_at": 1,
        "filename": "f.jsonl",
        "purpose": "batch",
        "status": "processed",
    }


def retrieve_file(server: ApiServer, _: dict[str, Any], key: str, __: dict[str, str]) -> tuple[int, Any]:
    return 200, _file(key)


def file_content(server: ApiServer, _: dict[str, Any], key: str, __: dict[str, str]) -> tuple[int, Any]:
    return 200, server.files.get(key, b"")


def create_batch(server: ApiServer, body: dict[str, Any], _: str, __: dict[str, str]) -> tuple[int, Any]:
    """Two requests, with two lines in the output file whose counts add up to the batch's usage."""
    key = f"batch_{len(server.stored) + 1}"
    endpoint = str(body.get("endpoint", "/v1/chat/completions"))
    model = "gpt-5-mini-2025-08-07"
    lines, total = [], {"input_tokens": 0, "output_tokens": 0, "total_tokens": 0}
    for number in range(2):
        served = server.serve_answer("openai.batch", model, False, "chatcmpl-", **CACHED_AND_REASONING)
        answer = {"id": served.id, "object": "chat.completion", "model": model, "usage": _chat_usage(served)}
        response = {"status_code": 200, "request_id": f"r{number}", "body": answer}
        lines.append({"id": f"{key}_req_{number}", "custom_id": f"c{number}", "response": response, "error": None})
        total["input_tokens"] += served.input_tokens
        total["output_tokens"] += served.output_tokens
    total["total_tokens"] = total["input_tokens"] + total["output_tokens"]
    server.files[f"file-{key}"] = "\n".join(map(json.dumps, lines)).encode()
    batch = {
        "id": key,
        "object": "batch",
        "endpoint": endpoint,
        "completion_window": "24h",
        "created_at": 1,
        "input_file_id": str(body.get("input_file_id")),
        "output_file_id": f"file-{key}",
        "model": model,
        "status": "completed",
        "request_counts": {"total": 2, "completed": 2, "failed": 0},
        "usage": {
            **total,
            "input_tokens_details": {"cached_tokens": 2 * CACHED},
            "output_tokens_details": {"reasoning_tokens": 2 * REASONING},
        },
    }
    server.stored[key] = {"batch": batch, "polls": 0}
    return 200, _unfinished_batch(batch)


def _unfinished_batch(batch: dict[str, Any]) -> dict[str, Any]:
    counts = {"total": 2, "completed": 0, "failed": 0}
    return {**batch, "status": "in_progress", "request_counts": counts, "usage": None, "output_file_id": None}


def retrieve_batch(server: ApiServer, _: dict[str, Any], key: str, __: dict[str, str]) -> tuple[int, Any]:
    stored = server.stored[key]
    stored["polls"] += 1
    return 200, stored["batch"] if stored["polls"] > server.polls_until_done else _unfinished_batch(stored["batch"])


def list_batches(server: ApiServer, _: dict[str, Any], __: str, ___: dict[str, str]) -> tuple[int, Any]:
    batches = [stored["batch"] for stored in server.stored.values() if "batch" in stored]
    return 200, {"object": "list", "data": batches, "has_more": False, "first_id": None, "last_id": None}
