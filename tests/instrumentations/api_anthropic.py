"""Anthropic's and Amazon Bedrock's formats for the local API."""

from __future__ import annotations

import binascii
import json
import re
import struct
from typing import Any

from api_format import TEXT, sse, tool_call


def messages(number: int, match: re.Match[str], body: Any, call: dict[str, Any]) -> Any:
    model = body.get("model", "")
    model = {"claude-sonnet-4-5": "claude-sonnet-4-5-20250929"}.get(model, model)
    message, usage, ident = _message(number, model, body, call, "anthropic")
    call |= {"response_id": ident, "stream": bool(body.get("stream"))}
    if user := (body.get("metadata") or {}).get("user_id"):
        call["user_id"] = user
    if not body.get("stream"):
        return "", message
    return sse(message_events(message, usage, body))


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
    tools = tool_call(body)
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


def message_events(message: Any, usage: Any, body: Any) -> list[tuple[str | None, Any]]:
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


def converse(number: int, match: re.Match[str], body: Any, call: dict[str, Any]) -> Any:
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
    return "application/vnd.amazon.eventstream", [frame(name, event) for name, event in events]


def invoke(number: int, match: re.Match[str], body: Any, call: dict[str, Any]) -> Any:
    model, verb = match[1], match[2]
    if "titan-embed" in model:
        call |= {"api": verb, "provider": "aws", "model": model, "input_tokens": 20 + number, "output_tokens": 0}
        return "", {"embedding": [0.1, 0.2], "inputTextTokenCount": 20 + number}
    message, usage, _ = _message(number, model, body, call, "aws")
    call |= {"api": verb, "stream": verb != "invoke"}
    if verb == "invoke":
        return "", message
    events = [event for _, event in message_events(message, usage, body)]
    events[-1]["amazon-bedrock-invocationMetrics"] = {
        "inputTokenCount": usage["input_tokens"],
        "outputTokenCount": usage["output_tokens"],
        "invocationLatency": 300,
        "firstByteLatency": 100,
        "cacheReadInputTokenCount": 2003,
        "cacheWriteInputTokenCount": 307,
    }
    frames = [
        frame("chunk", {"bytes": binascii.b2a_base64(json.dumps(event).encode(), newline=False).decode()})
        for event in events
    ]
    return "application/vnd.amazon.eventstream", frames


def frame(event: str, payload: Any) -> bytes:
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
