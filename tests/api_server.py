"""A local HTTP server that answers as OpenAI, Anthropic, Gemini and Vertex AI do, for the real client libraries.

Each answer has its own response id and its own counts; `server.served` lists them, so that a test compares rows with
what was sent. `prepare` queues fixed answers, which are sent first.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

CACHED, REASONING = 512, 64


@dataclass(frozen=True)
class Served:
    """One generated answer: its id and its counts by the table's names."""

    api: str
    model: str
    stream: bool
    id: str
    input_tokens: int
    output_tokens: int
    cache_read_input_tokens: int = 0
    cache_write_input_tokens: int = 0
    reasoning_output_tokens: int = 0


class ApiServer(ThreadingHTTPServer):
    """Generates an answer for each request; the attributes set delays, errors, and repeated ids."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.answers: list[tuple[int, Any]] = []
        self.requests: list[tuple[str, Any]] = []
        self.served: list[Served] = []
        self.pause_s = 0.0  # between two events of a stream
        self.delay_s = 0.0  # before an answer
        self.repeat_ids = False
        self.same_counts = False
        self.polls_until_done = 1
        self.final_status = "completed"
        self.break_after: int | None = None  # events after which a stream's connection is cut
        self.fail_with: int | None = None  # HTTP status of every further answer
        self._number = 0
        self._lock = threading.Lock()
        self.stored: dict[str, dict[str, Any]] = {}  # responses, interactions, batches by id
        self.files: dict[str, bytes] = {}

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def prepare(self, *bodies: Any, status: int = 200) -> None:
        """Queue fixed answers: a JSON body, or a list of server-sent events ("cut" breaks the connection)."""
        self.answers += [(status, body) for body in bodies]

    def serve_answer(self, api: str, model: str, stream: bool, prefix: str, **parts: int) -> Served:
        """Count one generated answer and return its id and counts."""
        with self._lock:
            self._number += 1
            number = 1 if self.same_counts else self._number
            served = Served(
                api,
                model,
                stream,
                f"{prefix}{1 if self.repeat_ids else self._number:06d}",
                1000 + number,
                parts.pop("output_tokens", 100 + number),
                **parts,
            )
            self.served.append(served)
            return served


class _Handler(BaseHTTPRequestHandler):
    server: ApiServer
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self._answer("GET")

    def do_POST(self) -> None:
        self._answer("POST")

    def do_DELETE(self) -> None:
        self._answer("DELETE")

    def _answer(self, method: str) -> None:
        raw = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        body = json.loads(raw) if raw[:1] == b"{" else raw
        self.server.requests.append((self.path, body))
        time.sleep(self.server.delay_s)
        if self.server.answers:
            self._send(*self.server.answers.pop(0))
        elif self.server.fail_with is not None:
            self._send(self.server.fail_with, _error(self.server.fail_with))
        else:
            self._route(method, body)

    def _route(self, method: str, body: Any) -> None:
        path = urlsplit(self.path).path
        for verb, end, respond in _ROUTES:
            if verb == method and (rest := _match(path, end)) is not None:
                query = {name: values[0] for name, values in parse_qs(urlsplit(self.path).query).items()}
                self._send(*respond(self.server, body if isinstance(body, dict) else {"raw": body}, rest, query))
                return
        self._send(404, {"error": {"message": f"No route {method} {path}", "type": "not_found_error"}})

    def _send(self, status: int, answer: Any) -> None:
        if isinstance(answer, list):
            self._stream(answer)
            return
        payload = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/jsonl" if isinstance(answer, bytes) else "application/json")
        self.send_header("Content-Length", str(len(payload)))
        self.end_headers()
        try:
            self.wfile.write(payload)
        except OSError:  # the client has cancelled
            self.close_connection = True

    def _stream(self, events: list[Any]) -> None:
        if self.server.break_after is not None:
            events = [*events[: self.server.break_after], "cut"]
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Connection", "close")
        if "cut" in events:  # so that the client knows that something is missing
            self.send_header("Content-Length", "1000000")
        self.end_headers()
        self.close_connection = True
        try:
            for event in events:
                if event == "cut":
                    self.connection.close()
                    return
                name = event.get("type") or event.get("event_type")
                head = f"event: {name}\n" if name else ""
                self.wfile.write(f"{head}data: {json.dumps(event)}\n\n".encode())
                self.wfile.flush()
                time.sleep(self.server.pause_s)
            if events and "choices" in events[0]:
                self.wfile.write(b"data: [DONE]\n\n")
        except OSError:
            return

    def log_message(self, *_: Any) -> None:
        """Nothing on the tests' output."""


Respond = Callable[[ApiServer, dict[str, Any], str, dict[str, str]], tuple[int, Any]]


def _match(path: str, end: str) -> str | None:
    """The variable part `*` of a route, "" for a route without one; None when the path is another."""
    head, star, tail = end.partition("*")
    if not star:
        return "" if path.endswith(end) else None
    _, found, rest = path.rpartition(head) if head else ("", "/", path)
    if not found or not rest.endswith(tail):
        return None
    rest = rest[: len(rest) - len(tail)] if tail else rest
    return rest if rest and ("/" not in rest or not head) else None


def _error(status: int) -> dict[str, Any]:
    kinds = {429: "rate_limit_error", 500: "api_error", 503: "overloaded_error"}
    kind = kinds.get(status, "invalid_request_error")
    return {
        "type": "error",
        "error": {"type": kind, "message": f"The server answers {status}.", "code": status, "status": kind.upper()},
    }


# --- OpenAI -------------------------------------------------------------------------------------------------------


def _chat_usage(served: Served) -> dict[str, Any]:
    return {
        "prompt_tokens": served.input_tokens,
        "completion_tokens": served.output_tokens,
        "total_tokens": served.input_tokens + served.output_tokens,
        "prompt_tokens_details": {"cached_tokens": CACHED, "audio_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": REASONING, "audio_tokens": 0},
    }


_PARTS = {"cache_read_input_tokens": CACHED, "reasoning_output_tokens": REASONING}


def _chat(server: ApiServer, body: dict[str, Any], _: str, __: dict[str, str]) -> tuple[int, Any]:
    model, stream = _dated(body["model"]), bool(body.get("stream"))
    served = server.serve_answer("openai.chat", model, stream, "chatcmpl-", **_PARTS)
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


def _completion(server: ApiServer, body: dict[str, Any], _: str, __: dict[str, str]) -> tuple[int, Any]:
    served = server.serve_answer("openai.completions", body["model"], False, "cmpl-", **_PARTS)
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


def _responses(server: ApiServer, body: dict[str, Any], _: str, __: dict[str, str]) -> tuple[int, Any]:
    model, stream, background = _dated(body["model"]), bool(body.get("stream")), bool(body.get("background"))
    served = server.serve_answer("openai.responses", model, stream, "resp_", **_PARTS)
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
        "created_at": time.time(),
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


def _retrieve_response(server: ApiServer, _: dict[str, Any], key: str, query: dict[str, str]) -> tuple[int, Any]:
    if (stored := server.stored.get(key)) is None:
        return 404, _error(404)
    done = stored["done"]
    if query.get("stream") == "true":
        after = int(query.get("starting_after", -1))
        return 200, [event for event in _response_events(done) if event["sequence_number"] > after]
    stored["polls"] += 1
    finished = not done["background"] or stored["polls"] > server.polls_until_done
    return 200, done if finished else _unfinished(done, "in_progress")


def _cancel_response(server: ApiServer, _: dict[str, Any], key: str, __: dict[str, str]) -> tuple[int, Any]:
    stored = server.stored[key]
    stored["done"] = {**stored["done"], "status": "cancelled", "output": []}
    return 200, stored["done"]


def _embeddings(server: ApiServer, body: dict[str, Any], _: str, __: dict[str, str]) -> tuple[int, Any]:
    served = server.serve_answer("openai.embeddings", body["model"], False, "", output_tokens=0)
    count = len(body["input"]) if isinstance(body["input"], list) else 1
    usage = {"prompt_tokens": served.input_tokens, "total_tokens": served.input_tokens}
    data = [{"object": "embedding", "index": index, "embedding": [0.1, 0.2]} for index in range(count)]
    return 200, {"object": "list", "data": data, "model": body["model"], "usage": usage}


def _moderations(server: ApiServer, body: dict[str, Any], _: str, __: dict[str, str]) -> tuple[int, Any]:
    result: dict[str, Any] = {"flagged": False, "categories": {}, "category_scores": {}}
    return 200, {"id": "modr-1", "model": "omni-moderation-latest", "results": [result]}


def _create_file(server: ApiServer, body: dict[str, Any], _: str, __: dict[str, str]) -> tuple[int, Any]:
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


def _retrieve_file(server: ApiServer, _: dict[str, Any], key: str, __: dict[str, str]) -> tuple[int, Any]:
    return 200, _file(key)


def _file_content(server: ApiServer, _: dict[str, Any], key: str, __: dict[str, str]) -> tuple[int, Any]:
    return 200, server.files.get(key, b"")


def _create_batch(server: ApiServer, body: dict[str, Any], _: str, __: dict[str, str]) -> tuple[int, Any]:
    """Two requests, with two lines in the output file whose counts add up to the batch's usage."""
    key = f"batch_{len(server.stored) + 1}"
    endpoint = str(body.get("endpoint", "/v1/chat/completions"))
    model = "gpt-5-mini-2025-08-07"
    lines, total = [], {"input_tokens": 0, "output_tokens": 0, "total_tokens": 0}
    for number in range(2):
        served = server.serve_answer("openai.batch", model, False, "chatcmpl-", **_PARTS)
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


def _retrieve_batch(server: ApiServer, _: dict[str, Any], key: str, __: dict[str, str]) -> tuple[int, Any]:
    stored = server.stored[key]
    stored["polls"] += 1
    return 200, stored["batch"] if stored["polls"] > server.polls_until_done else _unfinished_batch(stored["batch"])


def _list_batches(server: ApiServer, _: dict[str, Any], __: str, ___: dict[str, str]) -> tuple[int, Any]:
    batches = [stored["batch"] for stored in server.stored.values() if "batch" in stored]
    return 200, {"object": "list", "data": batches, "has_more": False, "first_id": None, "last_id": None}


# --- Anthropic ----------------------------------------------------------------------------------------------------


def _messages(server: ApiServer, body: dict[str, Any], _: str, __: dict[str, str]) -> tuple[int, Any]:
    model, stream = body["model"], bool(body.get("stream"))
    served, message = _message(server, model, stream)
    if not stream:
        return 200, message
    usage = message["usage"]
    begun = {**message, "content": [], "stop_reason": None, "usage": {**usage, "output_tokens": 1}}
    text = {"type": "content_block_delta", "index": 0}
    last = {"stop_reason": "end_turn", "stop_sequence": None}
    return 200, [
        {"type": "message_start", "message": begun},
        {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
        {**text, "delta": {"type": "text_delta", "text": "Hel"}},
        {**text, "delta": {"type": "text_delta", "text": "lo"}},
        {"type": "content_block_stop", "index": 0},
        {"type": "message_delta", "delta": last, "usage": {"output_tokens": served.output_tokens}},
        {"type": "message_stop"},
    ]


def _message(server: ApiServer, model: str, stream: bool) -> tuple[Served, dict[str, Any]]:
    parts = {"cache_read_input_tokens": 400, "cache_write_input_tokens": 100}
    served = server.serve_answer("anthropic.messages", model, stream, "msg_", **parts)
    return served, {
        "id": served.id,
        "type": "message",
        "role": "assistant",
        "model": model,
        "content": [{"type": "text", "text": "Hello"}],
        "stop_reason": "end_turn",
        "stop_sequence": None,
        "usage": {
            "input_tokens": served.input_tokens - 500,
            "cache_read_input_tokens": 400,
            "cache_creation_input_tokens": 100,
            "cache_creation": {"ephemeral_5m_input_tokens": 100, "ephemeral_1h_input_tokens": 0},
            "output_tokens": served.output_tokens,
            "service_tier": "standard",
        },
    }


def _count_tokens(server: ApiServer, _: dict[str, Any], __: str, ___: dict[str, str]) -> tuple[int, Any]:
    return 200, {"input_tokens": 12, "totalTokens": 12}


def _create_message_batch(server: ApiServer, body: dict[str, Any], _: str, __: dict[str, str]) -> tuple[int, Any]:
    key = f"msgbatch_{len(server.stored) + 1}"
    server.stored[key] = {"requests": body["requests"], "polls": 0, "lines": None}
    return 200, _message_batch(server, key, ended=False)


def _message_batch(server: ApiServer, key: str, *, ended: bool) -> dict[str, Any]:
    count = len(server.stored[key]["requests"])
    states = {"canceled": 0, "errored": 0, "expired": 0}
    moment = "2026-01-01T00:00:00Z"
    return {
        "id": key,
        "type": "message_batch",
        "processing_status": "ended" if ended else "in_progress",
        "request_counts": {
            **states,
            "processing": 0 if ended else count,
            "succeeded": count if ended else 0,
        },
        "created_at": moment,
        "expires_at": moment,
        "ended_at": moment if ended else None,
        "archived_at": None,
        "cancel_initiated_at": None,
        "results_url": f"{server.url}/v1/messages/batches/{key}/results" if ended else None,
    }


def _retrieve_message_batch(server: ApiServer, _: dict[str, Any], key: str, __: dict[str, str]) -> tuple[int, Any]:
    stored = server.stored[key]
    stored["polls"] += 1
    return 200, _message_batch(server, key, ended=stored["polls"] > server.polls_until_done)


def _message_batch_results(server: ApiServer, _: dict[str, Any], key: str, __: dict[str, str]) -> tuple[int, Any]:
    stored = server.stored[key]
    if stored["lines"] is None:
        lines = []
        for request in stored["requests"]:
            _, message = _message(server, request["params"]["model"], False)
            lines.append({"custom_id": request["custom_id"], "result": {"type": "succeeded", "message": message}})
        stored["lines"] = "\n".join(map(json.dumps, lines)).encode()
    return 200, stored["lines"]


# --- Gemini and Vertex AI -----------------------------------------------------------------------------------------


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


def _generate(server: ApiServer, _: dict[str, Any], path: str, __: dict[str, str]) -> tuple[int, Any]:
    model = path.rpartition("/")[2]
    served = server.serve_answer("gemini.generate", model, False, "gem", **_PARTS)
    head = {"modelVersion": model, "responseId": served.id, "usageMetadata": _gemini_usage(served)}
    return 200, {"candidates": [_gemini_candidate("Hello", last=True)], **head}


def _generate_stream(server: ApiServer, _: dict[str, Any], path: str, __: dict[str, str]) -> tuple[int, Any]:
    model = path.rpartition("/")[2]
    served = server.serve_answer("gemini.generate", model, True, "gem", **_PARTS)
    head = {"modelVersion": model, "responseId": served.id}
    first = {"promptTokenCount": served.input_tokens, "totalTokenCount": served.input_tokens}
    return 200, [
        {"candidates": [_gemini_candidate("Hel", last=False)], **head, "usageMetadata": first},
        {"candidates": [_gemini_candidate("lo", last=True)], **head, "usageMetadata": _gemini_usage(served)},
    ]


def _embed_content(server: ApiServer, body: dict[str, Any], path: str, __: dict[str, str]) -> tuple[int, Any]:
    served = server.serve_answer("gemini.embed", path.rpartition("/")[2], False, "", output_tokens=0)
    values = [{"values": [0.1, 0.2]} for _ in body.get("requests", [1])]
    usage = {"promptTokenCount": served.input_tokens}
    return 200, {"embeddings": values, "embedding": values[0], "usageMetadata": usage}


def _vertex_predict(server: ApiServer, body: dict[str, Any], path: str, __: dict[str, str]) -> tuple[int, Any]:
    """Vertex AI states the tokens of each embedding in its statistics."""
    instances = body.get("instances", [{}])
    served = server.serve_answer("vertex.embed", path.rpartition("/")[2], False, "", output_tokens=0)
    counts = [served.input_tokens - 10 * (len(instances) - 1)] + [10] * (len(instances) - 1)
    predictions = [
        {"embeddings": {"values": [0.1], "statistics": {"token_count": count, "truncated": False}}} for count in counts
    ]
    return 200, {"predictions": predictions}


def _interactions(server: ApiServer, body: dict[str, Any], _: str, __: dict[str, str]) -> tuple[int, Any]:
    model, stream, background = str(body.get("model")), bool(body.get("stream")), bool(body.get("background"))
    served = server.serve_answer("gemini.interactions", model, stream, "int_", **_PARTS)
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


def _retrieve_interaction(server: ApiServer, _: dict[str, Any], key: str, query: dict[str, str]) -> tuple[int, Any]:
    if (stored := server.stored.get(key)) is None:
        return 404, _error(404)
    if query.get("stream") == "true":
        return 200, _interaction_events(stored["done"])
    stored["polls"] += 1
    finished = not stored["background"] or stored["polls"] > server.polls_until_done
    return 200, stored["done"] if finished else _unfinished_interaction(stored["done"])


def _create_gemini_batch(server: ApiServer, body: dict[str, Any], path: str, __: dict[str, str]) -> tuple[int, Any]:
    key = f"gembatch{len(server.stored) + 1}"
    model = path.rpartition("/")[2]
    inlined = []
    for _ in range(2):
        served = server.serve_answer("gemini.batch", model, False, "gem", **_PARTS)
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


def _retrieve_gemini_batch(server: ApiServer, body: dict[str, Any], key: str, query: dict[str, str]) -> tuple[int, Any]:
    stored = server.stored[key]
    if "batch" in stored:
        return _retrieve_batch(server, body, key, query)
    stored["polls"] += 1
    return 200, _gemini_batch(server, key, done=stored["polls"] > server.polls_until_done)


# The first route whose end fits answers.
_ROUTES: tuple[tuple[str, str, Respond], ...] = (
    ("POST", "/chat/completions", _chat),
    ("POST", "/completions", _completion),
    ("POST", "/responses", _responses),
    ("POST", "/responses/*/cancel", _cancel_response),
    ("GET", "/responses/*/input_items", lambda *_: (200, {"object": "list", "data": [], "has_more": False})),
    ("GET", "/responses/*", _retrieve_response),
    ("DELETE", "/responses/*", lambda _, __, key, ___: (200, {"id": key, "object": "response", "deleted": True})),
    ("POST", "/embeddings", _embeddings),
    ("POST", "/moderations", _moderations),
    ("GET", "/files/*/content", _file_content),
    ("POST", "/files", _create_file),
    ("GET", "/files/*", _retrieve_file),
    ("POST", "/messages", _messages),
    ("POST", "/messages/count_tokens", _count_tokens),
    ("POST", "/messages/batches", _create_message_batch),
    ("GET", "/messages/batches/*/results", _message_batch_results),
    ("GET", "/messages/batches/*", _retrieve_message_batch),
    ("POST", "/batches", _create_batch),
    ("GET", "/batches", _list_batches),
    ("GET", "/batches/*", _retrieve_gemini_batch),
    ("POST", "*:generateContent", _generate),
    ("POST", "*:streamGenerateContent", _generate_stream),
    ("POST", "*:batchEmbedContents", _embed_content),
    ("POST", "*:embedContent", _embed_content),
    ("POST", "*:countTokens", _count_tokens),
    ("POST", "*:batchGenerateContent", _create_gemini_batch),
    ("POST", "*:predict", _vertex_predict),
    ("POST", "/interactions", _interactions),
    ("GET", "/interactions/*", _retrieve_interaction),
)


@contextmanager
def running_api_server() -> Iterator[ApiServer]:
    """A server that answers as long as the block lasts."""
    server = ApiServer()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join(5)
