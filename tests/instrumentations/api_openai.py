"""OpenAI's format for the local API, and that of those who speak it."""

from __future__ import annotations

import binascii
import re
import struct
from typing import Any

from api_format import TEXT, reasons, sse, tool_call


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


def openai_chat(number: int, match: re.Match[str], body: Any, call: dict[str, Any]) -> Any:
    path = match.string
    groq, mistral = "/openai/v1" in path, "mistral" in body.get("model", "")
    requested = body.get("model") or re.search(r"deployments/([^/]+)", path)[1]  # type: ignore[index]
    model = {"gpt-4o-mini": "gpt-4o-mini-2024-07-18", "gpt-5-mini": "gpt-5-mini-2025-08-07"}.get(requested, requested)
    cached, reasoning = 517, 67 if reasons(model) and not mistral else 0
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
    content = structured(body) or TEXT
    tools = tool_call(body)
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
    return sse([(None, event) for event in events], done=True)


def structured(body: Any) -> str | None:
    schema = body.get("response_format") or (body.get("text") or {}).get("format") or {}
    return '{"answer": "Hello"}' if schema.get("type") == "json_schema" else None


def responses(number: int, match: re.Match[str], body: Any, call: dict[str, Any]) -> Any:
    requested = body.get("model", "gpt-5-mini")
    model = {"gpt-4o-mini": "gpt-4o-mini-2024-07-18", "gpt-5-mini": "gpt-5-mini-2025-08-07"}.get(requested, requested)
    reasoning = 131 if reasons(model) else 0
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
    tools = tool_call(body)
    text = structured(body) or TEXT
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
    return sse([(event["type"], {**event, "sequence_number": at}) for at, event in enumerate(events)])


def embeddings(number: int, match: re.Match[str], body: Any, call: dict[str, Any]) -> Any:
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
