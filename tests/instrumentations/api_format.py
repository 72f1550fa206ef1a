"""What the formats of the local API share: an answer's text, a tool's call, and server-sent events."""

from __future__ import annotations

import json
import re
from typing import Any

TEXT = "Hello from the local API."


def sse(events: list[tuple[str | None, Any]], done: bool = False) -> tuple[str, list[bytes]]:
    chunks = [
        ((f"event: {name}\n" if name else "") + f"data: {json.dumps(event)}\n\n").encode() for name, event in events
    ]
    return "text/event-stream", chunks + ([b"data: [DONE]\n\n"] if done else [])


def reasons(model: str) -> bool:
    return bool(re.search(r"gpt-5|^o\d|/o\d|reason|magistral", model))


def tool_call(body: Any) -> tuple[str, str] | None:
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
