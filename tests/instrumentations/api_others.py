"""Gemini's, Cohere's and Ollama's formats for the local API."""

from __future__ import annotations

import json
import re
from typing import Any

from api_format import TEXT, sse, tool_call


def gemini(number: int, match: re.Match[str], body: Any, call: dict[str, Any]) -> Any:
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
    tools = tool_call(body)
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
    return sse([(None, event) for event in events])


def cohere_chat(number: int, match: re.Match[str], body: Any, call: dict[str, Any]) -> Any:
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
    return sse([(event["type"], event) for event in events])


def cohere_embed(number: int, match: re.Match[str], body: Any, call: dict[str, Any]) -> Any:
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


def ollama(number: int, match: re.Match[str], body: Any, call: dict[str, Any]) -> Any:
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
