"""A provider's HTTP API for captures: it answers every request and keeps what each answer stated.

tests/api_server.py serves the tests of clients. This one serves captures, which are compared by their numbers: each
part of a usage has a count of its own, so that a span that states it can be recognised. It also speaks Bedrock's,
Cohere's and Ollama's formats, calls a tool once, and fails where the prompt says so ("fail 429", "cut stream").
"""

from __future__ import annotations

import binascii
import itertools
import json
import re
import struct
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote

Usage = dict[str, int]
TEXT = "Hello from the local API."


class LocalApi(ThreadingHTTPServer):
    """Answers in the format of the provider whose path is requested; `calls` lists what was answered."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.calls: list[dict[str, Any]] = []
        self.numbers = itertools.count(1)
        self._thread = threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self.shutdown()
        self._thread.join(5)
        self.server_close()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class _Handler(BaseHTTPRequestHandler):
    server: LocalApi
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: Any) -> None:
        pass

    def do_GET(self) -> None:
        self._json(404, {"error": {"message": "not here"}})

    def do_POST(self) -> None:
        raw = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        body = json.loads(raw) if raw[:1] in (b"{", b"[") else {}
        path = unquote(self.path.partition("?")[0])
        for pattern, answer in _ROUTES:
            match = re.search(pattern, path)
            if match:
                self._answer(answer, match, body, raw.decode(errors="replace"))
                return
        self._json(404, {"error": {"message": f"no route {path}"}})

    def _answer(self, answer: Any, match: re.Match[str], body: Any, text: str) -> None:
        number = next(self.server.numbers)
        call: dict[str, Any] = {"path": match.group(0), "success": True}
        failing = re.search(r"fail (\d{3})", text)
        try:
            content_type, chunks = answer(number, match, body, call)
            if failing:
                call = {key: call[key] for key in ("path", "api", "provider", "model", "stream") if key in call}
                self.server.calls.append({**call, "success": False, "status": int(failing[1])})
                self._json(int(failing[1]), _error(call, int(failing[1])))
                return
            self.server.calls.append(call)
            if isinstance(chunks, dict):
                self._json(200, chunks)
            else:
                cut = "cut stream" in text
                call["success"] = not cut
                self._stream(content_type, chunks, cut)
        except (BrokenPipeError, ConnectionResetError):
            pass

    def _json(self, status: int, body: Any) -> None:
        payload = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(payload)))
        self.send_header("x-request-id", "req_1")
        self.send_header("retry-after", "0")
        self.end_headers()
        self.wfile.write(payload)

    def _stream(self, content_type: str, chunks: list[bytes], cut: bool) -> None:
        self.send_response(200)
        self.send_header("Content-Type", content_type)
        self.send_header("Transfer-Encoding", "chunked")
        self.send_header("Connection", "close")
        self.end_headers()
        self.close_connection = True
        for chunk in chunks[: max(2, len(chunks) // 2)] if cut else chunks:
            self.wfile.write(b"%x\r\n%s\r\n" % (len(chunk), chunk))
            self.wfile.flush()
            time.sleep(0.002)
        if not cut:
            self.wfile.write(b"0\r\n\r\n")


def _error(call: dict[str, Any], status: int) -> Any:
    message = "Rate limit reached" if status == 429 else "The server had an error"
    kind = "rate_limit_error" if status == 429 else "api_error"
    if call.get("provider") == "google":
        return {
            "error": {
                "code": status,
                "message": message,
                "status": "RESOURCE_EXHAUSTED" if status == 429 else "INTERNAL",
            }
        }
    if call.get("provider") == "anthropic":
        return {"type": "error", "error": {"type": kind, "message": message}}
    return {"error": {"message": message, "type": kind, "code": kind}, "message": message}


def _sse(events: list[tuple[str | None, Any]], done: bool = False) -> tuple[str, list[bytes]]:
    chunks = [
        ((f"event: {name}\n" if name else "") + f"data: {json.dumps(event)}\n\n").encode() for name, event in events
    ]
    return "text/event-stream", chunks + ([b"data: [DONE]\n\n"] if done else [])


def _reasons(model: str) -> bool:
    return bool(re.search(r"gpt-5|^o\d|/o\d|reason|magistral", model))


# --- OpenAI and those that speak its format


def _chat_usage(number: int, cached: int, reasoning: int, kind: str) -> dict[str, Any]:
    counts = {
        "prompt_tokens": 1000 + number,
        "completion_tokens": 200 + number,
        "total_tokens": 1200 + 2 * number,
        "prompt_tokens_details": {"cached_tokens": cached},
    }
    if kind == "mistral":
        return {**counts, "num_cached_tokens": cached}
    details = {"completion_tokens_details": {"reasoning_tokens": reasoning}}
    if kind == "groq":
        times = {"queue_time": 0.01, "prompt_time": 0.002, "completion_time": 0.1, "total_time": 0.102}
        return {**counts, **times, **details}
    details["completion_tokens_details"] |= {
        "audio_tokens": 0,
        "accepted_prediction_tokens": 0,
        "rejected_prediction_tokens": 0,
    }
    return {**counts, **details, "prompt_tokens_details": {"cached_tokens": cached, "audio_tokens": 0}}


def _openai_chat(number: int, match: re.Match[str], body: Any, call: dict[str, Any]) -> Any:
    path = match.string
    groq, mistral = "/openai/v1" in path, "mistral" in body.get("model", "")
    requested = body.get("model") or re.search(r"deployments/([^/]+)", path)[1]  # type: ignore[index]
    model = {"gpt-4o-mini": "gpt-4o-mini-2024-07-18", "gpt-5-mini": "gpt-5-mini-2025-08-07"}.get(requested, requested)
    cached, reasoning = 517, 67 if _reasons(model) and not mistral else 0
    usage = _chat_usage(number, cached, reasoning, "groq" if groq else "mistral" if mistral else "openai")
    provider = "groq" if groq else "mistral" if mistral else "azure" if "deployments" in path else "openai"
    ident = f"chatcmpl-{number:06d}"
    call |= {
        "api": "chat.completions",
        "provider": provider,
        "model": model,
        "response_id": ident,
        "stream": bool(body.get("stream")),
        "input_tokens": usage["prompt_tokens"],
        "output_tokens": usage["completion_tokens"],
        "cache_read_input_tokens": cached,
        "reasoning_output_tokens": reasoning,
    }
    call |= {"user_id": body["user"]} if body.get("user") else {}
    base = {"id": ident, "created": 1795703834, "model": model, "service_tier": "default", "system_fingerprint": "fp_1"}
    if groq:
        base["service_tier"] = "on_demand"
    content = _structured(body) or TEXT
    tools = _tool_call(body)
    if not body.get("stream"):
        message: dict[str, Any] = {"role": "assistant", "content": content, "refusal": None, "annotations": []}
        if tools:
            message |= {
                "content": None,
                "tool_calls": [
                    {"id": "call_1", "type": "function", "function": {"name": tools[0], "arguments": tools[1]}}
                ],
            }
        choice = {"index": 0, "finish_reason": "tool_calls" if tools else "stop", "logprobs": None, "message": message}
        return "", {**base, "object": "chat.completion", "choices": [choice], "usage": usage}
    asked = (body.get("stream_options") or {}).get("include_usage") or mistral
    if not (asked or groq):
        call["usage_sent"] = False
    chunk = {**base, "object": "chat.completion.chunk"}
    parts = [{"role": "assistant", "content": ""}] + [{"content": word + " "} for word in content.split(" ")]
    if tools:
        parts = [
            {"role": "assistant", "content": None},
            {
                "tool_calls": [
                    {
                        "index": 0,
                        "id": "call_1",
                        "type": "function",
                        "function": {"name": tools[0], "arguments": tools[1]},
                    }
                ]
            },
        ]
    null = {"usage": None} if asked and not mistral else {}
    events: list[Any] = [
        {**chunk, **null, "choices": [{"index": 0, "delta": part, "finish_reason": None}]} for part in parts
    ]
    final = {
        **chunk,
        **null,
        "choices": [{"index": 0, "delta": {}, "finish_reason": "tool_calls" if tools else "stop"}],
    }
    if groq:
        final |= {"x_groq": {"id": "req_1", "usage": usage}}
    if mistral:
        final |= {"usage": usage}
    events.append(final)
    if asked and not mistral:
        events.append({**chunk, "choices": [], "usage": usage})
    return _sse([(None, event) for event in events], done=True)


def _tool_call(body: Any) -> tuple[str, str] | None:
    """A tool is called once: in the first request that offers tools and has no result of one."""
    tools = body.get("tools") or []
    text = json.dumps(body.get("messages") or body.get("input") or body.get("contents") or "")
    if not tools or "call_1" in text or "functionResponse" in text or "tool_result" in text or "toolResult" in text:
        return None
    if "use the tool" not in text:
        return None
    first = tools[0]
    function = first.get("function") or (first.get("functionDeclarations") or [first])[0]
    return function["name"], '{"city": "Seoul"}'


def _structured(body: Any) -> str | None:
    schema = body.get("response_format") or (body.get("text") or {}).get("format") or {}
    return '{"answer": "Hello"}' if schema.get("type") == "json_schema" else None


def _responses(number: int, match: re.Match[str], body: Any, call: dict[str, Any]) -> Any:
    requested = body.get("model", "gpt-5-mini")
    model = {"gpt-4o-mini": "gpt-4o-mini-2024-07-18", "gpt-5-mini": "gpt-5-mini-2025-08-07"}.get(requested, requested)
    reasoning = 131 if _reasons(model) else 0
    usage = {
        "input_tokens": 3000 + number,
        "input_tokens_details": {"cached_tokens": 1033},
        "output_tokens": 400 + number,
        "output_tokens_details": {"reasoning_tokens": reasoning},
        "total_tokens": 3400 + 2 * number,
    }
    ident = f"resp_{number:06d}"
    call |= {
        "api": "responses",
        "provider": "openai",
        "model": model,
        "response_id": ident,
        "stream": bool(body.get("stream")),
        "input_tokens": usage["input_tokens"],
        "output_tokens": usage["output_tokens"],
        "cache_read_input_tokens": 1033,
        "reasoning_output_tokens": reasoning,
    }
    tools = _tool_call(body)
    text = _structured(body) or TEXT
    item: dict[str, Any] = {
        "id": f"msg_{number:06d}",
        "type": "message",
        "role": "assistant",
        "status": "completed",
        "content": [{"type": "output_text", "text": text, "annotations": [], "logprobs": []}],
    }
    if tools:
        item = {
            "id": f"fc_{number:06d}",
            "type": "function_call",
            "call_id": "call_1",
            "name": tools[0],
            "arguments": tools[1],
            "status": "completed",
        }
    output = [item]
    if reasoning:
        output.insert(0, {"id": f"rs_{number:06d}", "type": "reasoning", "summary": []})
    response = {
        "id": ident,
        "object": "response",
        "created_at": 1795703834,
        "status": "completed",
        "background": False,
        "error": None,
        "incomplete_details": None,
        "instructions": None,
        "max_output_tokens": None,
        "model": model,
        "output": output,
        "parallel_tool_calls": True,
        "previous_response_id": None,
        "reasoning": {"effort": "medium" if reasoning else None, "summary": None},
        "service_tier": "default",
        "store": True,
        "temperature": 1.0,
        "text": {"format": {"type": "text"}},
        "tool_choice": "auto",
        "tools": [],
        "top_p": 1.0,
        "truncation": "disabled",
        "usage": usage,
        "user": None,
        "metadata": {},
    }
    if not body.get("stream"):
        return "", response
    start = {**response, "status": "in_progress", "output": [], "usage": None}
    index = len(output) - 1
    events: list[Any] = [
        {"type": "response.created", "response": start},
        {"type": "response.in_progress", "response": start},
    ]
    if reasoning:
        events += [
            {"type": "response.output_item.added", "output_index": 0, "item": output[0]},
            {"type": "response.output_item.done", "output_index": 0, "item": output[0]},
        ]
    events += [
        {
            "type": "response.output_item.added",
            "output_index": index,
            "item": {**item, "content": [], "status": "in_progress"},
        }
    ]
    if not tools:
        place = {"item_id": item["id"], "output_index": index, "content_index": 0}
        events += [
            {
                "type": "response.content_part.added",
                **place,
                "part": {"type": "output_text", "text": "", "annotations": []},
            },
            *(
                {"type": "response.output_text.delta", **place, "delta": word + " ", "logprobs": []}
                for word in text.split(" ")
            ),
            {"type": "response.output_text.done", **place, "text": text, "logprobs": []},
            {"type": "response.content_part.done", **place, "part": item["content"][0]},
        ]
    else:
        place = {"item_id": item["id"], "output_index": index}
        events += [
            {"type": "response.function_call_arguments.delta", **place, "delta": tools[1]},
            {"type": "response.function_call_arguments.done", **place, "arguments": tools[1], "name": tools[0]},
        ]
    events += [
        {"type": "response.output_item.done", "output_index": index, "item": item},
        {"type": "response.completed", "response": response},
    ]
    return _sse([(event["type"], {**event, "sequence_number": at}) for at, event in enumerate(events)])


def _embeddings(number: int, match: re.Match[str], body: Any, call: dict[str, Any]) -> Any:
    model = body.get("model", "text-embedding-3-small")
    count = len(body["input"]) if isinstance(body.get("input"), list) and not isinstance(body["input"][0], int) else 1
    call |= {
        "api": "embeddings",
        "provider": "mistral" if "mistral" in model else "openai",
        "model": model,
        "stream": False,
        "input_tokens": 20 + number,
        "output_tokens": 0,
    }
    vector: Any = [0.1, 0.2, 0.3]
    if body.get("encoding_format") == "base64":
        vector = binascii.b2a_base64(struct.pack("<3f", *vector), newline=False).decode()
    data = [{"object": "embedding", "index": at, "embedding": vector} for at in range(count)]
    usage = {"prompt_tokens": 20 + number, "total_tokens": 20 + number}
    return "", {"object": "list", "data": data, "model": model, "usage": usage}


# --- Anthropic


def _messages(number: int, match: re.Match[str], body: Any, call: dict[str, Any]) -> Any:
    model = body.get("model", "")
    model = {"claude-sonnet-4-5": "claude-sonnet-4-5-20250929"}.get(model, model)
    message, usage, ident = _message(number, model, body, call, "anthropic")
    call |= {"response_id": ident, "stream": bool(body.get("stream"))}
    if user := (body.get("metadata") or {}).get("user_id"):
        call["user_id"] = user
    if not body.get("stream"):
        return "", message
    return _sse(_message_events(message, usage, body))


def _message(number: int, model: str, body: Any, call: dict[str, Any], provider: str) -> Any:
    usage = {
        "input_tokens": 100 + number,
        "cache_creation_input_tokens": 307,
        "cache_read_input_tokens": 2003,
        "cache_creation": {"ephemeral_5m_input_tokens": 216, "ephemeral_1h_input_tokens": 91},
        "output_tokens": 50 + number,
        "service_tier": "standard",
    }
    ident = f"msg_{number:06d}"
    call |= {
        "api": "messages",
        "provider": provider,
        "model": model,
        "input_tokens": 2410 + number,
        "output_tokens": 50 + number,
        "cache_read_input_tokens": 2003,
        "cache_write_input_tokens": 307,
        "details": {"cache_write_1h_tokens": 91},
    }
    tools = _tool_call(body)
    content = [{"type": "text", "text": TEXT}]
    if tools:
        content = [{"type": "tool_use", "id": "call_1", "name": tools[0], "input": json.loads(tools[1])}]  # type: ignore[dict-item]
    message = {
        "id": ident,
        "type": "message",
        "role": "assistant",
        "model": model,
        "content": content,
        "stop_reason": "tool_use" if tools else "end_turn",
        "stop_sequence": None,
        "usage": usage,
    }
    return message, usage, ident


def _message_events(message: Any, usage: Any, body: Any) -> list[tuple[str | None, Any]]:
    start = {**message, "content": [], "stop_reason": None, "usage": {**usage, "output_tokens": 1}}
    block = message["content"][0]
    if block["type"] == "text":
        opening = {"type": "text", "text": ""}
        deltas = [{"type": "text_delta", "text": word + " "} for word in TEXT.split(" ")]
    else:
        opening = {**block, "input": {}}
        deltas = [{"type": "input_json_delta", "partial_json": json.dumps(block["input"])}]
    last = {key: value for key, value in usage.items() if key not in ("cache_creation", "service_tier")}
    events: list[Any] = [
        {"type": "message_start", "message": start},
        {"type": "content_block_start", "index": 0, "content_block": opening},
        *({"type": "content_block_delta", "index": 0, "delta": delta} for delta in deltas),
        {"type": "content_block_stop", "index": 0},
        {
            "type": "message_delta",
            "delta": {"stop_reason": message["stop_reason"], "stop_sequence": None},
            "usage": last,
        },
        {"type": "message_stop"},
    ]
    return [(event["type"], event) for event in events]


# --- Google


def _gemini(number: int, match: re.Match[str], body: Any, call: dict[str, Any]) -> Any:
    model, verb = match[1], match[2]
    vertex = "/projects/" in match.string
    provider = "google"
    if verb in ("embedContent", "batchEmbedContents"):
        call |= {
            "api": verb,
            "provider": provider,
            "model": model,
            "input_tokens": 0,
            "output_tokens": 0,
            "usage_sent": False,
        }
        one = {"values": [0.1, 0.2, 0.3]}
        if verb == "embedContent":
            return "", {"embedding": one}
        return "", {"embeddings": [one] * len(body.get("requests", [1]))}
    if verb == "predict":
        call |= {"api": verb, "provider": provider, "model": model, "input_tokens": 20 + number, "output_tokens": 0}
        return "", {
            "predictions": [
                {"embeddings": {"values": [0.1, 0.2], "statistics": {"token_count": 20 + number, "truncated": False}}}
            ]
        }
    thoughts = 97 if re.search(r"2\.5|3", model) else 0
    usage = {
        "promptTokenCount": 700 + number,
        "candidatesTokenCount": 60 + number,
        "totalTokenCount": 760 + 2 * number + thoughts,
        "cachedContentTokenCount": 409,
        "promptTokensDetails": [{"modality": "TEXT", "tokenCount": 700 + number}],
        "cacheTokensDetails": [{"modality": "TEXT", "tokenCount": 409}],
        "thoughtsTokenCount": thoughts,
    }
    if vertex:
        usage["trafficType"] = "ON_DEMAND"
    ident = f"gem-{number:06d}"
    call |= {
        "api": "generateContent",
        "provider": provider,
        "model": model,
        "response_id": ident,
        "stream": verb == "streamGenerateContent",
        "input_tokens": 700 + number,
        "output_tokens": 60 + number + thoughts,
        "cache_read_input_tokens": 409,
        "reasoning_output_tokens": thoughts,
    }
    tools = _tool_call(body)
    parts: list[Any] = [{"text": TEXT}]
    if tools:
        parts = [{"functionCall": {"name": tools[0], "args": json.loads(tools[1])}}]
    base = {"modelVersion": model, "responseId": ident}

    def answer(some: list[Any], **more: Any) -> dict[str, Any]:
        candidate = {"content": {"parts": some, "role": "model"}, "index": 0, **more.pop("end", {})}
        return {"candidates": [candidate], **base, **more}

    end = {"finishReason": "STOP"}
    if verb == "generateContent":
        return "", answer(parts, end=end, usageMetadata=usage)
    early = {**usage, "candidatesTokenCount": 2, "totalTokenCount": 702 + number + thoughts}
    events = [answer([{"text": "Hello "}], usageMetadata=early), answer(parts, end=end, usageMetadata=usage)]
    return _sse([(None, event) for event in events])


# --- Bedrock


def _converse(number: int, match: re.Match[str], body: Any, call: dict[str, Any]) -> Any:
    model, verb = match[1], match[2]
    usage = {
        "inputTokens": 100 + number,
        "outputTokens": 50 + number,
        "totalTokens": 2460 + 2 * number,
        "cacheReadInputTokens": 2003,
        "cacheWriteInputTokens": 307,
    }
    call |= {
        "api": verb,
        "provider": "aws",
        "model": model,
        "stream": verb == "converse-stream",
        "input_tokens": 2410 + number,
        "output_tokens": 50 + number,
        "cache_read_input_tokens": 2003,
        "cache_write_input_tokens": 307,
    }
    tool = None
    if (
        "toolConfig" in body
        and "toolResult" not in json.dumps(body["messages"])
        and "use the tool" in json.dumps(body["messages"])
    ):
        tool = body["toolConfig"]["tools"][0]["toolSpec"]["name"]
    content: Any = (
        {"toolUse": {"toolUseId": "call_1", "name": tool, "input": {"city": "Seoul"}}} if tool else {"text": TEXT}
    )
    stop = "tool_use" if tool else "end_turn"
    if verb == "converse":
        return "", {
            "metrics": {"latencyMs": 300},
            "output": {"message": {"content": [content], "role": "assistant"}},
            "stopReason": stop,
            "usage": usage,
        }
    start = [
        ("contentBlockStart", {"contentBlockIndex": 0, "start": {"toolUse": {"toolUseId": "call_1", "name": tool}}})
    ]
    delta: Any = {"toolUse": {"input": '{"city": "Seoul"}'}} if tool else {"text": TEXT}
    events = [
        ("messageStart", {"role": "assistant"}),
        *(start if tool else []),
        ("contentBlockDelta", {"contentBlockIndex": 0, "delta": delta}),
        ("contentBlockStop", {"contentBlockIndex": 0}),
        ("messageStop", {"stopReason": stop}),
        ("metadata", {"usage": usage, "metrics": {"latencyMs": 300}}),
    ]
    return "application/vnd.amazon.eventstream", [_frame(name, event) for name, event in events]


def _invoke(number: int, match: re.Match[str], body: Any, call: dict[str, Any]) -> Any:
    model, verb = match[1], match[2]
    if "titan-embed" in model:
        call |= {"api": verb, "provider": "aws", "model": model, "input_tokens": 20 + number, "output_tokens": 0}
        return "", {"embedding": [0.1, 0.2], "inputTextTokenCount": 20 + number}
    message, usage, _ = _message(number, model, body, call, "aws")
    call |= {"api": verb, "stream": verb != "invoke"}
    if verb == "invoke":
        return "", message
    events = [event for _, event in _message_events(message, usage, body)]
    events[-1]["amazon-bedrock-invocationMetrics"] = {
        "inputTokenCount": usage["input_tokens"],
        "outputTokenCount": usage["output_tokens"],
        "invocationLatency": 300,
        "firstByteLatency": 100,
        "cacheReadInputTokenCount": 2003,
        "cacheWriteInputTokenCount": 307,
    }
    frames = [
        _frame("chunk", {"bytes": binascii.b2a_base64(json.dumps(event).encode(), newline=False).decode()})
        for event in events
    ]
    return "application/vnd.amazon.eventstream", frames


def _frame(event: str, payload: Any) -> bytes:
    headers = b"".join(
        bytes([len(name)]) + name.encode() + b"\x07" + struct.pack(">H", len(value)) + value.encode()
        for name, value in (
            (":event-type", event),
            (":content-type", "application/json"),
            (":message-type", "event"),
        )
    )
    body = json.dumps(payload).encode()
    prelude = struct.pack(">II", 16 + len(headers) + len(body), len(headers))
    head = prelude + struct.pack(">I", binascii.crc32(prelude))
    message = head + headers + body
    return message + struct.pack(">I", binascii.crc32(message))


# --- Cohere, Ollama


def _cohere_chat(number: int, match: re.Match[str], body: Any, call: dict[str, Any]) -> Any:
    usage = {
        "billed_units": {"input_tokens": 30 + number, "output_tokens": 10 + number},
        "tokens": {"input_tokens": 500 + number, "output_tokens": 12 + number},
        "cached_tokens": 137,
    }
    ident = f"cohere-{number:06d}"
    call |= {
        "api": "chat",
        "provider": "cohere",
        "model": body["model"],
        "response_id": ident,
        "stream": bool(body.get("stream")),
        "input_tokens": 500 + number,
        "output_tokens": 12 + number,
        "cache_read_input_tokens": 137,
        "alternative": {"input_tokens": 30 + number, "output_tokens": 10 + number},
    }
    if not body.get("stream"):
        message = {"role": "assistant", "content": [{"type": "text", "text": TEXT}]}
        return "", {"id": ident, "finish_reason": "COMPLETE", "message": message, "usage": usage}
    events: list[Any] = [
        {"type": "message-start", "id": ident, "delta": {"message": {"role": "assistant", "content": []}}},
        {"type": "content-start", "index": 0, "delta": {"message": {"content": {"type": "text", "text": ""}}}},
        {"type": "content-delta", "index": 0, "delta": {"message": {"content": {"text": TEXT}}}},
        {"type": "content-end", "index": 0},
        {"type": "message-end", "delta": {"finish_reason": "COMPLETE", "usage": usage}},
    ]
    return _sse([(event["type"], event) for event in events])


def _cohere_embed(number: int, match: re.Match[str], body: Any, call: dict[str, Any]) -> Any:
    call |= {
        "api": "embed",
        "provider": "cohere",
        "model": body["model"],
        "input_tokens": 20 + number,
        "output_tokens": 0,
    }
    return "", {
        "id": f"emb-{number:06d}",
        "embeddings": {"float": [[0.1, 0.2]]},
        "texts": body.get("texts", []),
        "meta": {"api_version": {"version": "2"}, "billed_units": {"input_tokens": 20 + number}},
        "response_type": "embeddings_by_type",
    }


def _ollama(number: int, match: re.Match[str], body: Any, call: dict[str, Any]) -> Any:
    verb = match[1]
    base = {"model": body["model"], "created_at": "2026-01-05T10:15:00Z"}
    call |= {"api": verb, "provider": "ollama", "model": body["model"], "output_tokens": 0}
    if verb == "embed":
        call["input_tokens"] = 20 + number
        return "", {**base, "embeddings": [[0.1, 0.2]], "total_duration": 1000, "prompt_eval_count": 20 + number}
    call |= {"input_tokens": 30 + number, "output_tokens": 10 + number, "stream": bool(body.get("stream", True))}
    end = {
        "done": True,
        "done_reason": "stop",
        "total_duration": 500_000_000,
        "load_duration": 1000,
        "prompt_eval_count": 30 + number,
        "prompt_eval_duration": 1000,
        "eval_count": 10 + number,
        "eval_duration": 1000,
    }

    def text(content: str) -> dict[str, Any]:
        return {"message": {"role": "assistant", "content": content}} if verb == "chat" else {"response": content}

    if not body.get("stream", True):
        return "", {**base, **text(TEXT), **end}
    events = [{**base, **text(TEXT), "done": False}, {**base, **text(""), **end}]
    return "application/x-ndjson", [json.dumps(event).encode() + b"\n" for event in events]


_ROUTES = [
    (r"/chat/completions$", _openai_chat),
    (r"/responses$", _responses),
    (r"/(?:v1|openai/deployments/[^/]+)/embeddings$|^/embeddings$", _embeddings),
    (r"/v1/messages$", _messages),
    (r"/models/([^/:]+):(generateContent|streamGenerateContent|embedContent|batchEmbedContents|predict)$", _gemini),
    (r"/model/(.+)/(converse|converse-stream)$", _converse),
    (r"/model/(.+)/(invoke|invoke-with-response-stream)$", _invoke),
    (r"/v2/chat$", _cohere_chat),
    (r"/v2/embed$", _cohere_embed),
    (r"/api/(chat|generate|embed)$", _ollama),
]
