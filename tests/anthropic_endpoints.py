"""The endpoints of Anthropic in the local API server: messages, the count of tokens, and message batches."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from api_server import ApiServer


def messages(server: ApiServer, body: dict[str, Any], _: str, __: dict[str, str]) -> tuple[int, Any]:
    model, stream = body["model"], bool(body.get("stream"))
    message = _message(server, model, stream)
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
        {"type": "message_delta", "delta": last, "usage": usage},
        {"type": "message_stop"},
    ]


def _message(server: ApiServer, model: str, stream: bool) -> dict[str, Any]:
    parts = {"cache_read_input_tokens": 400, "cache_write_input_tokens": 100}
    served = server.serve_answer("anthropic.messages", model, stream, "msg_", **parts)
    return {
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


def count_tokens(server: ApiServer, _: dict[str, Any], __: str, ___: dict[str, str]) -> tuple[int, Any]:
    return 200, {"input_tokens": 12, "totalTokens": 12}


def create_message_batch(server: ApiServer, body: dict[str, Any], _: str, __: dict[str, str]) -> tuple[int, Any]:
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


def retrieve_message_batch(server: ApiServer, _: dict[str, Any], key: str, __: dict[str, str]) -> tuple[int, Any]:
    stored = server.stored[key]
    stored["polls"] += 1
    return 200, _message_batch(server, key, ended=stored["polls"] > server.polls_until_done)


def message_batch_results(server: ApiServer, _: dict[str, Any], key: str, __: dict[str, str]) -> tuple[int, Any]:
    stored = server.stored[key]
    if stored["lines"] is None:
        lines = []
        for request in stored["requests"]:
            message = _message(server, request["params"]["model"], False)
            lines.append({"custom_id": request["custom_id"], "result": {"type": "succeeded", "message": message}})
        stored["lines"] = "\n".join(map(json.dumps, lines)).encode()
    return 200, stored["lines"]
